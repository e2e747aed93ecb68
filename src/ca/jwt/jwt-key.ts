/** A key that signs JWT-SVIDs: makes it, and writes it to and reads it from its file. */

import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import type { AuthorityKeyType, JwtAuthority } from '../../spiffe/index.ts';
import { generateAuthorityKey, keyTypeOf } from '../authority-key.ts';

export interface JwtKey {
  /** The `kid` of its tokens: the first 20 bytes of the key's RFC 7638 thumbprint, lower-case hex. */
  readonly id: string;
  readonly keyType: AuthorityKeyType;
  /** When it was made, in milliseconds since the epoch. */
  readonly notBefore: number;
  /** No token ends later. */
  readonly notAfter: number;
  readonly privateKey: KeyObject;
  /** Its form in bundles. */
  readonly authority: JwtAuthority;
}

/** @param life milliseconds */
export async function makeJwtKey(keyType: AuthorityKeyType, now: number, life: number): Promise<JwtKey> {
  const { privateKey } = await generateAuthorityKey(keyType);
  return describe(keyType, privateKey, now, now + life);
}

function describe(keyType: AuthorityKeyType, privateKey: KeyObject, notBefore: number, notAfter: number): JwtKey {
  const publicKey = createPublicKey(privateKey).export({ format: 'jwk' });
  const id = thumbprint(publicKey).subarray(0, 20).toString('hex');
  return { id, keyType, notBefore, notAfter, privateKey, authority: { keyId: id, publicKey } };
}

/** @see https://www.rfc-editor.org/rfc/rfc7638 section 3.2: the required members in lexicographic order */
function thumbprint({ kty, crv, x, y, n, e }: JsonWebKey): Buffer {
  const members = kty === 'EC' ? { crv, kty, x, y } : { e, kty, n };
  return createHash('sha256').update(JSON.stringify(members)).digest();
}

/** @param pem the block of its private key */
export function jwtKeyFile({ notBefore, notAfter }: JwtKey, pem: string): string {
  return `${JSON.stringify({ notBefore, notAfter, privateKey: pem }, undefined, 2)}\n`;
}

/**
 * Reads a key's file.
 * @param decode reads the block of the private key
 * @throws {Error} whose message completes a sentence that begins with the file's name
 */
export async function readJwtKey<T extends { readonly key: KeyObject }>(
  text: string,
  decode: (pem: string) => Promise<T>,
): Promise<{ readonly key: JwtKey; readonly decoded: T }> {
  const { notBefore, notAfter, privateKey } = parse(text);
  const decoded = await decode(privateKey);
  const keyType = keyTypeOf(decoded.key);
  if (keyType === undefined) throw new Error('contains a key of another type than JWT keys have');
  return { key: describe(keyType, decoded.key, notBefore, notAfter), decoded };
}

function parse(text: string): { notBefore: number; notAfter: number; privateKey: string } {
  try {
    const { notBefore, notAfter, privateKey } = JSON.parse(text);
    if (Number.isSafeInteger(notBefore) && Number.isSafeInteger(notAfter) && typeof privateKey === 'string') {
      return { notBefore, notAfter, privateKey };
    }
  } catch {
    // The same fault.
  }
  throw new Error('is damaged');
}
