import { EmptyState, Title } from '../parts/index.ts';

export function OverviewView() {
  return (
    <>
      <Title>Overview</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
