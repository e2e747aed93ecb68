/**
 * How the keys of authorities sign.
 *
 * @see RFC 5758 section 3.2 (ECDSA), RFC 4055 section 5 (RSA)
 */

import type { AuthorityKeyType } from '../spiffe/index.ts';
import { NULL, oid, sequence } from './der.ts';

export interface SignatureAlgorithm {
  readonly hash: 'sha256' | 'sha384';
  /** AlgorithmIdentifier, DER. */
  readonly identifier: Buffer;
}

const RSA: SignatureAlgorithm = { hash: 'sha256', identifier: sequence(oid('1.2.840.113549.1.1.11'), NULL) };

const ALGORITHMS: Readonly<Record<AuthorityKeyType, SignatureAlgorithm>> = {
  'ec-p256': { hash: 'sha256', identifier: sequence(oid('1.2.840.10045.4.3.2')) },
  'ec-p384': { hash: 'sha384', identifier: sequence(oid('1.2.840.10045.4.3.3')) },
  'rsa-2048': RSA,
  'rsa-3072': RSA,
  'rsa-4096': RSA,
};

export function signatureAlgorithm(type: AuthorityKeyType): SignatureAlgorithm {
  return ALGORITHMS[type];
}
