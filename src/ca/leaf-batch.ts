/** Makes SVIDs in batches; it does not depend on the queue, the records or the clock. */

import { SidekeyError } from '../base/errors.ts';
import { checkLeaf, checkLeafWithOpenSsl } from './check.ts';
import { generateKeyPair } from './key-pair.ts';
import type { Leaf, LeafRequest, LeafWriter } from './leaf.ts';

/** A verified SVID. */
export type MadeLeaf = Omit<Leaf, 'keyPair'>;

/** The result of a request: an SVID, or the error. */
export type Made = { readonly leaf: MadeLeaf } | { readonly fault: SidekeyError };

/**
 * Makes SVIDs. A failing request does not affect the others.
 * @param checked shapes (with and without DNS names) of this signer's SVIDs that OpenSSL has verified; the first SVID of
 *   each new shape is verified and added
 * @returns the results in the order of the requests; errors are ERR_CA
 */
export function makeLeafs(
  writer: LeafWriter,
  requests: readonly LeafRequest[],
  checked: Set<boolean>,
): Promise<Made[]> {
  const keyPairs = requests.map(() => generateKeyPair());
  return Promise.all(
    requests.map(async (request, i): Promise<Made> => {
      try {
        const leaf = await writer.sign(writer.draft(request, keyPairs[i]!));
        check(leaf, request, writer, checked);
        const { certificateChain, privateKey, serial, notBefore, notAfter } = leaf;
        return { leaf: { certificateChain, privateKey, serial, notBefore, notAfter } };
      } catch (error) {
        return { fault: SidekeyError.from(error, 'ERR_CA') };
      }
    }),
  );
}

function check(leaf: Leaf, request: LeafRequest, { signer }: LeafWriter, checked: Set<boolean>): void {
  checkLeaf(leaf, request, signer);
  const hasDnsNames = request.dnsNames.length > 0;
  if (checked.has(hasDnsNames)) return;
  checkLeafWithOpenSsl(leaf, request, signer);
  checked.add(hasDnsNames);
}
