import { EmptyState, Title } from '../parts/index.ts';

export function ProxyView() {
  return (
    <>
      <Title>Proxy</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
