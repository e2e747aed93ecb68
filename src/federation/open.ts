/** Opens federation: what is fetched from other trust domains. */

import { AddressRules, type Network } from './addresses.ts';
import { Poller, type PollerParts } from './poller.ts';
import { Federation } from './relationships.ts';

export interface OpenFederation extends Omit<PollerParts, 'rules'> {
  /** Networks that are not public, in which endpoints may be. */
  readonly allowed: readonly Network[];
}

/** Begins to poll. */
export function openFederation({ allowed, ...parts }: OpenFederation): {
  federation: Federation;
  close(): Promise<void>;
} {
  const poller = new Poller({ ...parts, rules: new AddressRules(allowed) });
  return { federation: new Federation({ registry: parts.registry, poller }), close: () => poller.close() };
}
