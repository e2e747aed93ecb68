/**
 * Reads a private key from the PEM that is about to be sent, and the structures that keys and certificates share.
 *
 * @see RFC 7468 section 3 (PEM, its strict form), RFC 5958 (PKCS#8), RFC 5915 (the EC key in it), RFC 5480 (points),
 *   RFC 8017 appendix A.1 (RSA keys), RFC 3279 section 2.3.1 (their identifier)
 */

import type { SvidKeyType } from '../spiffe/index.ts';
import { DerReader, TAG } from './der-reader.ts';
import { checkRsaNumbers, type RsaNumbers } from './rsa-numbers.ts';

export interface ReadPublicKey {
  readonly type: SvidKeyType;
  /** The contents of its bit string, over which key identifiers are computed. */
  readonly bits: Buffer;
  /** An uncompressed point; or the modulus of an RSA key, whose exponent is 65537. */
  readonly value: Buffer;
}

/** A private key. */
export type ReadKey =
  | {
      readonly type: 'ec-p256';
      /** 32 bytes. */
      readonly scalar: Buffer;
      /** The public key in the same file: an uncompressed point. */
      readonly value: Buffer;
    }
  | {
      readonly type: 'rsa-2048';
      /** The modulus. The other numbers of the key belong to it. */
      readonly value: Buffer;
    };

const VERSION_1 = Uint8Array.of(0);
const EC_KEY_VERSION_1 = Uint8Array.of(1);
const EC_PUBLIC_KEY = Buffer.from('2a8648ce3d0201', 'hex');
const P256 = Buffer.from('2a8648ce3d030107', 'hex');
const RSA_ENCRYPTION = Buffer.from('2a864886f70d010101', 'hex');
const NOTHING = new Uint8Array();
const EXPONENT = Buffer.from('010001', 'hex');
const MODULUS_BYTES = 256;

/** `pem`: exactly one PKCS#8 key. @throws {Error} whose message says what is wrong */
export function readKey(pem: string): ReadKey {
  const reader = new DerReader(readPemBlock(pem, 'PRIVATE KEY'));
  const key = reader.inside(TAG.sequence, (pkcs8) => {
    pkcs8.demand(TAG.integer, VERSION_1);
    const type = pkcs8.inside(TAG.sequence, readKeyAlgorithm);
    const read = type === 'ec-p256' ? readEcKey : readRsaKey;
    return pkcs8.inside(TAG.octetString, (wrapped) => wrapped.inside<ReadKey>(TAG.sequence, read));
  });
  reader.end();
  return key;
}

function readEcKey(key: DerReader): ReadKey {
  key.demand(TAG.integer, EC_KEY_VERSION_1);
  const scalar = key.contents(TAG.octetString);
  if (scalar.length !== 32) throw new Error('its private key has the wrong length');
  return { type: 'ec-p256', scalar, value: key.inside(0xa1, readPoint) };
}

function readRsaKey(key: DerReader): ReadKey {
  key.demand(TAG.integer, VERSION_1);
  const modulus = readModulus(key);
  key.demand(TAG.integer, EXPONENT);
  const next = () => BigInt(`0x${readPositive(key)}`);
  const numbers: RsaNumbers = {
    n: BigInt(`0x${modulus.toString('hex')}`),
    e: 65_537n,
    ...{ d: next(), p: next(), q: next(), dp: next(), dq: next(), qInverse: next() },
  };
  if (!checkRsaNumbers(numbers)) throw new Error('the numbers of its private key do not belong together');
  return { type: 'rsa-2048', value: modulus };
}

/** SubjectPublicKeyInfo. */
export function readPublicKey(info: DerReader): ReadPublicKey {
  const type = info.inside(TAG.sequence, readKeyAlgorithm);
  if (type === 'ec-p256') {
    const point = readPoint(info);
    return { type, bits: point, value: point };
  }
  const bits = readBits(info);
  const reader = new DerReader(bits);
  const value = reader.inside(TAG.sequence, (key) => {
    const modulus = readModulus(key);
    key.demand(TAG.integer, EXPONENT);
    return modulus;
  });
  reader.end();
  return { type, bits, value };
}

/** The algorithm identifier of a key that an SVID may have. */
function readKeyAlgorithm(algorithm: DerReader): SvidKeyType {
  const id = algorithm.contents(TAG.oid);
  if (id.equals(RSA_ENCRYPTION)) {
    algorithm.demand(TAG.null, NOTHING);
    return 'rsa-2048';
  }
  if (!id.equals(EC_PUBLIC_KEY)) throw new Error('it has a key of a type that SVIDs do not have');
  algorithm.demand(TAG.oid, P256);
  return 'ec-p256';
}

/** 2048 bits, of which the first is set. */
function readModulus(reader: DerReader): Buffer {
  const hex = readPositive(reader);
  const modulus = Buffer.from(hex, 'hex');
  if (modulus.length !== MODULUS_BYTES || modulus[0]! < 0x80) throw new Error('its modulus does not have 2048 bits');
  return modulus;
}

/** A bit string of an uncompressed point of P-256: 65 bytes. */
function readPoint(reader: DerReader): Buffer {
  const point = readBits(reader);
  if (point.length !== 65 || point[0] !== 0x04) throw new Error('its public key is not an uncompressed point');
  return point;
}

/** A number above zero, as lower-case hex of whole bytes without leading zeros. */
export function readPositive(reader: DerReader): string {
  const hex = reader.hex(TAG.integer);
  // DER requires a leading zero byte exactly if the number would be negative without it.
  const isPadded = hex.startsWith('00');
  const bare = isPadded ? hex.slice(2) : hex;
  const isNegative = bare >= '8';
  if (bare === '' || isPadded !== isNegative) throw new Error('it has a number that is not positive');
  return bare;
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
