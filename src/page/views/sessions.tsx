import { EmptyState, Title } from '../parts/index.ts';

export function SessionsView() {
  return (
    <>
      <Title>Sessions</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
