/**
 * Which addresses the server may fetch bundles from. Whoever may create a relationship chooses a URL, and a partner's
 * endpoint chooses where it redirects to; neither may make this server ask services inside its own network.
 *
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry
 */

import { BlockList, isIP, isIPv6 } from 'node:net';

/** A network such as 10.0.0.0/8. */
export interface Network {
  readonly address: string;
  readonly prefix: number;
}

/** IPv4 networks that are not public, with the words for messages. */
const REFUSED_4: readonly (readonly [network: string, what: string])[] = [
  ['0.0.0.0/8', 'this host'],
  ['10.0.0.0/8', 'a private network'],
  ['100.64.0.0/10', 'a network behind carrier-grade NAT'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local, as metadata services of clouds are'],
  ['172.16.0.0/12', 'a private network'],
  ['192.0.0.0/24', 'reserved for protocols'],
  ['192.0.2.0/24', 'reserved for documentation'],
  ['192.88.99.0/24', 'a relay of 6to4'],
  ['192.168.0.0/16', 'a private network'],
  ['198.18.0.0/15', 'reserved for benchmarks'],
  ['198.51.100.0/24', 'reserved for documentation'],
  ['203.0.113.0/24', 'reserved for documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved or broadcast'],
];

/** IPv6 networks with a name of their own; all outside of 2000::/3 are refused too. */
const REFUSED_6: readonly (readonly [network: string, what: string])[] = [
  ['::/128', 'this host'],
  ['::1/128', 'loopback'],
  ['::ffff:0:0/96', 'an IPv4 address in the form of IPv6'],
  ['64:ff9b::/96', 'an IPv4 address behind NAT64'],
  ['64:ff9b:1::/48', 'an IPv4 address behind NAT64'],
  ['fc00::/7', 'a private network'],
  ['fe80::/10', 'link-local'],
  ['ff00::/8', 'multicast'],
  ['2001::/23', 'reserved for protocols such as Teredo'],
  ['2001:db8::/32', 'reserved for documentation'],
  ['2002::/16', 'an IPv4 address behind 6to4'],
  ['3fff::/20', 'reserved for documentation'],
];

const PUBLIC_6 = listOf('2000::/3');
/** By family: BlockList else matches an IPv4 address with the network of IPv4 addresses in IPv6 form. */
const REFUSED = {
  ipv4: REFUSED_4.map(([network, what]) => ({ list: listOf(network), what })),
  ipv6: REFUSED_6.map(([network, what]) => ({ list: listOf(network), what })),
};

export class AddressRules {
  readonly #allowed: BlockList;

  /** @param allowed networks that the operator names, although they are not public */
  constructor(allowed: readonly Network[]) {
    this.#allowed = new BlockList();
    for (const { address, prefix } of allowed) this.#allowed.addSubnet(address, prefix, familyOf(address));
  }

  /** Why the server may not connect to this address; undefined: it may. @param address an IP address without brackets */
  refusal(address: string): string | undefined {
    // A zone names an interface of this host; only link-local addresses need one.
    if (isIP(address) === 0 || address.includes('%')) return `${address} is not an address of the internet`;
    const family = familyOf(address);
    if (this.#allowed.check(address, family)) return undefined;
    const found = REFUSED[family].find(({ list }) => list.check(address, family));
    if (found !== undefined) return `${address} is ${found.what}`;
    if (family === 'ipv6' && !PUBLIC_6.check(address, family)) return `${address} is not an address of the internet`;
    return undefined;
  }
}

function listOf(network: string): BlockList {
  const list = new BlockList();
  const [address, prefix] = network.split('/') as [string, string];
  list.addSubnet(address, Number(prefix), familyOf(address));
  return list;
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}
