/** Signs JWT-SVIDs with one key. */

import { sign } from 'node:crypto';
import { promisify } from 'node:util';
import { type JwtAlgorithm, jwtAlgorithmsOf } from '../../spiffe/index.ts';
import { DerReader, TAG } from '../der-reader.ts';
import type { JwtKey } from './jwt-key.ts';

export interface JwtSigner {
  /** The `kid` of its tokens. */
  readonly keyId: string;
  readonly algorithm: JwtAlgorithm;
  /** No token ends later. Milliseconds since the epoch. */
  readonly notAfter: number;
  /** The signature as a JWS has it (RFC 7518 sections 3.3 and 3.4). */
  sign(input: string): Promise<Buffer>;
}

const signInThreadPool = promisify(sign);

/** The octets of r and of s in the signatures of these algorithms (RFC 7518 section 3.4). */
const NUMBER_OCTETS: Partial<Record<JwtAlgorithm, number>> = { ES256: 32, ES384: 48 };

export function jwtSigner({ id, notAfter, privateKey, authority }: JwtKey): JwtSigner {
  const algorithm = jwtAlgorithmsOf(authority.publicKey)[0]!;
  const hash = `sha${algorithm.slice(2)}`;
  const octets = NUMBER_OCTETS[algorithm];
  return {
    keyId: id,
    algorithm,
    notAfter,
    sign: async (input) => {
      const bytes = Buffer.from(input, 'latin1');
      // Handing it to the thread pool takes most of the time that a signature on P-256 takes; the others take ten times as long.
      const signature =
        algorithm === 'ES256' ? sign(hash, bytes, privateKey) : await signInThreadPool(hash, bytes, privateKey);
      return octets === undefined ? signature : jwsForm(signature, octets);
    },
  };
}

/**
 * An ECDSA signature in the form of a JWS: r and s with the same length. Node can make it too (`dsaEncoding`), but exports
 * the key each time for it, which takes twice as long as the signature (bench figure `jwt-tokens`).
 *
 * @param der the form of X.509 (RFC 3279 section 2.2.3)
 */
function jwsForm(der: Buffer, octets: number): Buffer {
  const numbers = new DerReader(new DerReader(der).contents(TAG.sequence));
  const signature = Buffer.alloc(2 * octets);
  for (const end of [octets, 2 * octets]) {
    // A leading zero octet keeps an INTEGER positive, and zeros beyond it are left out.
    const contents = numbers.contents(TAG.integer);
    const number = contents.length > octets ? contents.subarray(contents.length - octets) : contents;
    number.copy(signature, end - number.length);
  }
  return signature;
}
