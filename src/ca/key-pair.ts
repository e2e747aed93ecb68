/**
 * P-256 key pairs with their encodings. The encodings are templates around the raw key, because node:crypto takes
 * longer to encode a key than to make it.
 *
 * @see FIPS 186-5 section A.2.2 (a key by rejection sampling), RFC 5480 (SubjectPublicKeyInfo), RFC 5958 and RFC 5915
 *   (PKCS#8 around an EC key)
 */

import { createECDH, hash, randomBytes } from 'node:crypto';

export interface KeyPair {
  /** The private key: 32 bytes. */
  readonly scalar: Buffer;
  /** The public key that OpenSSL computed for it: an uncompressed point. */
  readonly point: Buffer;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
  /** RFC 5280 section 4.2.1.2, method 1: SHA-1 of the public point. It identifies the key and protects nothing. */
  readonly keyId: Buffer;
  /** DER. */
  readonly pkcs8: Buffer;
}

const SPKI_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
const PKCS8_HEAD = Buffer.from('308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420', 'hex');
const PKCS8_POINT = Buffer.from('a144034200', 'hex');
const SCALAR_BYTES = 32;
const ZERO = Buffer.alloc(SCALAR_BYTES);
/** The order of the group: private keys are between zero and it. */
const ORDER = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');

/** Shared, because creating one takes as long as making a key. */
const curve = createECDH('prime256v1');

export function generateKeyPair(): KeyPair {
  const scalar = randomScalar();
  curve.setPrivateKey(scalar);
  return encodeKeyPair(scalar, curve.getPublicKey());
}

/** `scalar`: 32 bytes; `point`: uncompressed. */
export function encodeKeyPair(scalar: Buffer, point: Buffer): KeyPair {
  return {
    scalar,
    point,
    spki: Buffer.concat([SPKI_HEAD, point]),
    keyId: Buffer.from(hash('sha1', point), 'hex'),
    pkcs8: Buffer.concat([PKCS8_HEAD, scalar, PKCS8_POINT, point]),
  };
}

/** True if the public key, computed again, is the point. */
export function isPair({ scalar, point }: Pick<KeyPair, 'scalar' | 'point'>): boolean {
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
