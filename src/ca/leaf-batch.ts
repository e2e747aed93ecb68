/** Makes SVIDs in batches; it does not depend on the queue, the records or the clock. */

import { SidekeyError } from '../base/index.ts';
import { checkLeaf, checkLeafWithOpenSsl } from './check.ts';
import { generateEcKeyPair, type RsaKeyPair } from './key-pair.ts';
import type { Leaf, LeafRequest, LeafWriter } from './leaf.ts';

/** An SVID to make. */
export interface LeafOrder {
  readonly request: LeafRequest;
  /** The key of an RSA SVID. P-256 keys are made here. */
  readonly keyPair: RsaKeyPair | undefined;
}

/** A verified SVID. */
export type MadeLeaf = Omit<Leaf, 'keyPair'>;

/** The result of a request: an SVID, or the error. */
export type Made = { readonly leaf: MadeLeaf } | { readonly fault: SidekeyError };

/**
 * Makes SVIDs. A failing request does not affect the others.
 * @param checked shapes (type of key, with and without DNS names) of this signer's SVIDs that OpenSSL has verified; the
 *   first SVID of each new shape is verified and added
 * @returns the results in the given order; errors are ERR_CA
 */
export function makeLeafs(writer: LeafWriter, orders: readonly LeafOrder[], checked: Set<string>): Promise<Made[]> {
  const keyPairs = orders.map(({ keyPair }) => keyPair ?? generateEcKeyPair());
  return Promise.all(
    orders.map(async ({ request }, i): Promise<Made> => {
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

function check(leaf: Leaf, request: LeafRequest, { signer }: LeafWriter, checked: Set<string>): void {
  checkLeaf(leaf, request, signer);
  const shape = request.dnsNames.length > 0 ? `${request.keyType} with DNS names` : request.keyType;
  if (checked.has(shape)) return;
  checkLeafWithOpenSsl(leaf, request, signer);
  checked.add(shape);
}
