import { EmptyState, Title } from '../parts/index.ts';

export function EntryView() {
  return (
    <>
      <Title>Entry</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
