/**
 * Reads a private key from the PEM that is about to be sent, and the structures that keys and certificates share.
 *
 * @see RFC 7468 section 3 (PEM, its strict form), RFC 5958 (PKCS#8), RFC 5915 (the EC key in it), RFC 5480 (points)
 */

import { DerReader, TAG } from './der-reader.ts';

export interface ReadKey {
  /** 32 bytes. */
  readonly scalar: Buffer;
  /** The public key in the same file: an uncompressed point. */
  readonly point: Buffer;
}

const VERSION_1 = Uint8Array.of(0);
const EC_KEY_VERSION_1 = Uint8Array.of(1);
const EC_PUBLIC_KEY = Buffer.from('2a8648ce3d0201', 'hex');
const P256 = Buffer.from('2a8648ce3d030107', 'hex');

/** `pem`: exactly one PKCS#8 key. @throws {Error} whose message says what is wrong */
export function readKey(pem: string): ReadKey {
  const reader = new DerReader(readPemBlock(pem, 'PRIVATE KEY'));
  const key = reader.inside(TAG.sequence, (pkcs8) => {
    pkcs8.demand(TAG.integer, VERSION_1);
    pkcs8.inside(TAG.sequence, readP256);
    return pkcs8.inside(TAG.octetString, (wrapped) => wrapped.inside(TAG.sequence, readEcKey));
  });
  reader.end();
  return key;
}

function readEcKey(key: DerReader): ReadKey {
  key.demand(TAG.integer, EC_KEY_VERSION_1);
  const scalar = key.contents(TAG.octetString);
  if (scalar.length !== 32) throw new Error('its private key has the wrong length');
  return { scalar, point: key.inside(0xa1, readPoint) };
}

/** The algorithm identifier of a P-256 key. */
export function readP256(algorithm: DerReader): void {
  algorithm.demand(TAG.oid, EC_PUBLIC_KEY);
  algorithm.demand(TAG.oid, P256);
}

/** A bit string of an uncompressed point of P-256: 65 bytes. */
export function readPoint(reader: DerReader): Buffer {
  const point = readBits(reader);
  if (point.length !== 65 || point[0] !== 0x04) throw new Error('its public key is not an uncompressed point');
  return point;
}

/** A bit string without unused bits. */
export function readBits(reader: DerReader): Buffer {
  const contents = reader.contents(TAG.bitString);
  if (contents[0] !== 0) throw new Error('it has a bit string with unused bits');
  return contents.subarray(1);
}

/** The bytes of one PEM block, which must have lines of exactly 64 characters and nothing around it. */
export function readPemBlock(pem: string, label: 'CERTIFICATE' | 'PRIVATE KEY'): Buffer {
  const [head, tail] = [`-----BEGIN ${label}-----\n`, `-----END ${label}-----\n`];
  const bytes = Buffer.from(pem.slice(head.length, -tail.length), 'base64');
  // Node accepts any text as base64, so the result is encoded again and compared.
  const base64 = bytes.toString('base64');
  let lines = '';
  for (let at = 0; at < base64.length; at += 64) lines += `${base64.slice(at, at + 64)}\n`;
  if (pem !== head + lines + tail) throw new Error(`it is not the PEM of a ${label}`);
  return bytes;
}
