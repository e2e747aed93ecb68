/**
 * The compact serialization of a JWT-SVID.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7515 section 3.1
 * @see https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md sections 2 and 3
 */

import type { JwtSigner } from '../ca/index.ts';

/** Times in seconds since the epoch. */
export interface JwtClaims {
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly iss?: string;
  readonly sub: string;
}

/** The token of these claims. */
export async function writeJws(claims: JwtClaims, signer: JwtSigner): Promise<string> {
  const header = { alg: signer.algorithm, kid: signer.keyId, typ: 'JWT' };
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${(await signer.sign(input)).toString('base64url')}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
