/** Makes SVIDs, many at a time, on whichever thread: nothing here knows of queues, records or clocks. */

import { SidekeyError } from '../base/errors.ts';
import { checkLeaf, checkLeafWithOpenSsl } from './check.ts';
import { generateKeyPair } from './key-pair.ts';
import type { Leaf, LeafDraft, LeafRequest, LeafWriter } from './leaf.ts';

/** An SVID that was looked at. */
export type MadeLeaf = Omit<Leaf, 'keyPair'>;

/** What came of a request: an SVID, or why there is none. */
export type Made = { readonly leaf: MadeLeaf } | { readonly fault: SidekeyError };

/**
 * Each step for all before the next, which takes less time; a request that fails drops out.
 * @param checked of an SVID of this authority with DNS names (true) and of one without (false), whether OpenSSL has found
 *   one good; it looks at the first that it has not
 * @returns what came of each, in their order; faults are ERR_CA
 */
export function makeLeafs(writer: LeafWriter, requests: readonly LeafRequest[], checked: Set<boolean>): Made[] {
  const made: Made[] = [];
  const keyPairs = requests.map(() => generateKeyPair());
  const drafts: LeafDraft[] = [];
  const places: number[] = [];
  requests.forEach((request, i) => {
    attempt(made, i, () => {
      drafts.push(writer.draft(request, keyPairs[i]!));
      places.push(i);
    });
  });
  writer.sign(drafts).forEach((leaf, j) => {
    const place = places[j]!;
    attempt(made, place, () => {
      check(leaf, requests[place]!, writer, checked);
      const { certificateChain, privateKey, serial, notBefore, notAfter } = leaf;
      made[place] = { leaf: { certificateChain, privateKey, serial, notBefore, notAfter } };
    });
  });
  return made;
}

function check(leaf: Leaf, request: LeafRequest, { authority }: LeafWriter, checked: Set<boolean>): void {
  checkLeaf(leaf, request, authority);
  const hasDnsNames = request.dnsNames.length > 0;
  if (checked.has(hasDnsNames)) return;
  checkLeafWithOpenSsl(leaf, request, authority);
  checked.add(hasDnsNames);
}

/** Keeps a failure to the one whose it is. */
function attempt(made: Made[], place: number, step: () => void): void {
  try {
    step();
  } catch (error) {
    made[place] = { fault: SidekeyError.from(error, 'ERR_CA') };
  }
}
