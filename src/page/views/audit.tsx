import { EmptyState, Title } from '../parts/index.ts';

export function AuditView() {
  return (
    <>
      <Title>Audit</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
