/** What signs SVIDs. Its key may be elsewhere, so a signature is a promise. */

import { type KeyObject, sign, type X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import type { Authority } from './authority.ts';
import { pem } from './pem.ts';

export interface Signer {
  /** The subject key identifier, lower-case hex. */
  readonly id: string;
  /** The subject, DER. */
  readonly name: Buffer;
  readonly certificate: X509Certificate;
  /** See {@link Authority}. */
  readonly above: readonly X509Certificate[];
  readonly publicKey: KeyObject;
  /** The certificates between an SVID and its root, as PEM: the signer's first, the root's not included. */
  readonly chain: string;
  /** When all certificates of the chain, and its root, are valid, in milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Signs with ECDSA and SHA-256; the signature is DER (RFC 3279 section 2.2.3). */
  sign(toBeSigned: Uint8Array): Promise<Buffer>;
}

const signInThreadPool = promisify(sign);

/** The signer of an intermediate whose key is here. */
export function localSigner({ id, name, publicKey, privateKey, certificate, above, ...validity }: Authority): Signer {
  if (privateKey === undefined) throw new TypeError('an authority without its key cannot sign');
  return {
    ...{ id, name, publicKey, certificate, above },
    chain: [certificate, ...above].map(({ raw }) => pem('CERTIFICATE', raw)).join(''),
    notBefore: validity.notBefore,
    notAfter: validity.notAfter,
    sign: (toBeSigned) => signInThreadPool('sha256', toBeSigned, privateKey),
  };
}
