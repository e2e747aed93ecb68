import { EmptyState, Title } from '../parts/index.ts';

export function WhyView() {
  return (
    <>
      <Title>Why</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
