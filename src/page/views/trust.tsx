import { EmptyState, Title } from '../parts/index.ts';

export function TrustView() {
  return (
    <>
      <Title>Trust</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
