/** Makes SVIDs in batches, on either thread; it does not depend on the queue, the records or the clock. */

import { SidekeyError } from '../base/errors.ts';
import { checkLeaf, checkLeafWithOpenSsl } from './check.ts';
import { generateKeyPair } from './key-pair.ts';
import type { Leaf, LeafDraft, LeafRequest, LeafWriter } from './leaf.ts';

/** A verified SVID. */
export type MadeLeaf = Omit<Leaf, 'keyPair'>;

/** The result of a request: an SVID, or the error. */
export type Made = { readonly leaf: MadeLeaf } | { readonly fault: SidekeyError };

/**
 * Makes SVIDs. Each step runs for all requests before the next one, which is faster. A failing request does not affect
 * the others.
 * @param checked shapes (with and without DNS names) of this authority's SVIDs that OpenSSL has verified; the first
 *   SVID of each new shape is verified and added
 * @returns the results in the order of the requests; errors are ERR_CA
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

/** Turns an exception into the fault of its request. */
function attempt(made: Made[], place: number, step: () => void): void {
  try {
    step();
  } catch (error) {
    made[place] = { fault: SidekeyError.from(error, 'ERR_CA') };
  }
}
