/** What signs SVIDs. Its key may be elsewhere, so a signature is a promise. */

import { type KeyObject, sign, type X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import type { AuthorityKeyType } from '../spiffe/index.ts';
import type { Authority } from './authority.ts';
import { pem } from './pem.ts';
import { signatureAlgorithm } from './signature-algorithm.ts';

export interface Signer {
  /** The subject key identifier, lower-case hex. */
  readonly id: string;
  /** The subject, DER. */
  readonly name: Buffer;
  readonly certificate: X509Certificate;
  /** See {@link Authority}. */
  readonly above: readonly X509Certificate[];
  readonly publicKey: KeyObject;
  readonly keyType: AuthorityKeyType;
  /** The certificates between an SVID and its root, as PEM: the signer's first, the root's not included. */
  readonly chain: string;
  /** When all certificates of the chain, and its root, are valid, in milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /**
   * Signs with the algorithm of the key's type ({@link signatureAlgorithm}). A signature of ECDSA is DER (RFC 3279
   * section 2.2.3); one of RSA is as long as the modulus (RFC 8017 section 8.2).
   */
  sign(toBeSigned: Uint8Array): Promise<Buffer>;
}

const signInThreadPool = promisify(sign);

/** The signer of an intermediate whose key is here. */
export function localSigner(authority: Authority): Signer {
  const { id, name, keyType, publicKey, privateKey, certificate, above, ...validity } = authority;
  if (privateKey === undefined || keyType === undefined)
    throw new TypeError('an authority without its key cannot sign');
  const { hash } = signatureAlgorithm(keyType);
  return {
    ...{ id, name, keyType, publicKey, certificate, above },
    chain: [certificate, ...above].map(({ raw }) => pem('CERTIFICATE', raw)).join(''),
    notBefore: validity.notBefore,
    notAfter: validity.notAfter,
    sign: (toBeSigned) => signInThreadPool(hash, toBeSigned, privateKey),
  };
}
