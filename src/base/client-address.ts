/** Whose connections and requests count together, of clients that only an address tells apart. */

import { isIPv6 } from 'node:net';

/** The address for which limits count: of IPv6 the first 64 bits, since one host may have all that begin so. */
export function countedAddress(remote: string | undefined): string {
  const address = remote?.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '') ?? 'unknown';
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - groups.length - rest.length;
  const all = [...groups, ...Array.from({ length: missing }, () => '0'), ...rest];
  return `${all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
