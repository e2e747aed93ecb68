import { EmptyState, Title } from '../parts/index.ts';

export function EntriesView() {
  return (
    <>
      <Title>Entries</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
