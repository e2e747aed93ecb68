/** Signs JWT-SVIDs with one key. */

import { sign } from 'node:crypto';
import { promisify } from 'node:util';
import { type JwtAlgorithm, jwtAlgorithmsOf } from '../../spiffe/index.ts';
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

export function jwtSigner({ id, notAfter, privateKey, authority }: JwtKey): JwtSigner {
  const algorithm = jwtAlgorithmsOf(authority.publicKey)[0]!;
  const hash = `sha${algorithm.slice(2)}`;
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return {
    keyId: id,
    algorithm,
    notAfter,
    sign: async (input) => {
      const bytes = Buffer.from(input, 'latin1');
      // Handing it to the thread pool takes most of the time that a signature on P-256 takes; the others take ten times as long.
      return algorithm === 'ES256' ? sign(hash, bytes, key) : signInThreadPool(hash, bytes, key);
    },
  };
}
