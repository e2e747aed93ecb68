/**
 * The keys of SVIDs with their encodings. The encodings of P-256 keys are templates around the raw key, because
 * node:crypto takes longer to encode a key than to make it.
 *
 * @see FIPS 186-5 section A.2.2 (a key by rejection sampling), RFC 5480 (SubjectPublicKeyInfo), RFC 5958 and RFC 5915
 *   (PKCS#8 around an EC key)
 */

import { createECDH, generateKeyPair, hash, type RSAKeyPairOptions, randomBytes } from 'node:crypto';
import { elements } from './der.ts';

/** The encodings of a key. */
interface Encodings {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
  /** RFC 5280 section 4.2.1.2, method 1: SHA-1 of the public key's bit string. It identifies the key and protects nothing. */
  readonly keyId: Buffer;
  /** DER. */
  readonly pkcs8: Buffer;
}

export interface EcKeyPair extends Encodings {
  readonly type: 'ec-p256';
  /** The private key: 32 bytes. */
  readonly scalar: Buffer;
  /** The public key that OpenSSL computed for it: an uncompressed point. */
  readonly point: Buffer;
}

export interface RsaKeyPair extends Encodings {
  readonly type: 'rsa-2048';
}

export type KeyPair = EcKeyPair | RsaKeyPair;

const SPKI_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
const PKCS8_HEAD = Buffer.from('308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420', 'hex');
const PKCS8_POINT = Buffer.from('a144034200', 'hex');
const SCALAR_BYTES = 32;
const ZERO = Buffer.alloc(SCALAR_BYTES);
/** The order of the group: private keys are between zero and it. */
const ORDER = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');

/** Shared, because creating one takes as long as making a key. */
const curve = createECDH('prime256v1');

export function generateEcKeyPair(): EcKeyPair {
  const scalar = randomScalar();
  curve.setPrivateKey(scalar);
  return encodeKeyPair(scalar, curve.getPublicKey());
}

/** `scalar`: 32 bytes; `point`: uncompressed. */
export function encodeKeyPair(scalar: Buffer, point: Buffer): EcKeyPair {
  return {
    type: 'ec-p256',
    scalar,
    point,
    spki: Buffer.concat([SPKI_HEAD, point]),
    keyId: Buffer.from(hash('sha1', point), 'hex'),
    pkcs8: Buffer.concat([PKCS8_HEAD, scalar, PKCS8_POINT, point]),
  };
}

const RSA_OPTIONS: RSAKeyPairOptions<'der', 'der'> = {
  modulusLength: 2048,
  publicExponent: 65_537,
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: { type: 'pkcs8', format: 'der' },
};

/** Makes the key in the thread pool, where it takes about 50 ms, sometimes a multiple of that. */
export function generateRsaKeyPair(): Promise<RsaKeyPair> {
  return new Promise((resolve, reject) => {
    generateKeyPair('rsa', RSA_OPTIONS, (error, spki, pkcs8) => {
      if (error !== null) return reject(error);
      const bits = elements(elements(spki)[0]!.contents)[1]!.contents.subarray(1);
      resolve({ type: 'rsa-2048', spki, pkcs8, keyId: Buffer.from(hash('sha1', bits), 'hex') });
    });
  });
}

/** True if the public key, computed again, is the point. */
export function isPair({ scalar, point }: Pick<EcKeyPair, 'scalar' | 'point'>): boolean {
  const other = createECDH('prime256v1');
  other.setPrivateKey(scalar);
  return other.getPublicKey().equals(point);
}

/** A random private key, uniformly distributed. */
function randomScalar(): Buffer {
  for (;;) {
    const scalar = randomBytes(SCALAR_BYTES);
    // Rejects about one in four billion.
    if (scalar.compare(ZERO) > 0 && scalar.compare(ORDER) < 0) return scalar;
  }
}
