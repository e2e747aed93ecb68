import { EmptyState, Title } from '../parts/index.ts';

export function ProxiesView() {
  return (
    <>
      <Title>Proxies</Title>
      <EmptyState title="This view is not made yet" />
    </>
  );
}
