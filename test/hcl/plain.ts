import type { HclNode } from '../../src/hcl/tree.ts';

/** A tree without its lines, as `oracle/main.go` prints one. */
export function plain(node: HclNode): unknown {
  if (node.kind === 'object') return { items: node.items.map(({ key, value }) => [key, plain(value)]) };
  if (node.kind === 'list') return { list: node.elements.map(plain) };
  return { value: node.value };
}
