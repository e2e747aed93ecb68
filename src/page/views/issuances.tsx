import { EmptyState, Title } from '../parts/index.ts';

export function IssuancesView() {
  return (
    <>
      <Title>Issuances</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
