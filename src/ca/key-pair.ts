/**
 * P-256 key pairs with their encodings. The encodings are templates around the raw key: node:crypto takes longer to
 * write them than to make the key.
 *
 * @see RFC 5480 (SubjectPublicKeyInfo), RFC 5958 and RFC 5915 (PKCS#8 around an EC key)
 */

import { createECDH, hash } from 'node:crypto';

export interface KeyPair {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
  /** RFC 5280 section 4.2.1.2, method 1: SHA-1 of the public point. It names the key and secures nothing. */
  readonly keyId: Buffer;
  /** DER. */
  readonly pkcs8: Buffer;
}

const SPKI_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
const PKCS8_HEAD = Buffer.from('308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420', 'hex');
const PKCS8_POINT = Buffer.from('a144034200', 'hex');
const SCALAR_BYTES = 32;

export function generateKeyPair(): KeyPair {
  const ecdh = createECDH('prime256v1');
  const point = ecdh.generateKeys();
  return encodeKeyPair(ecdh.getPrivateKey(), point);
}

/** `scalar`: the private key as OpenSSL gives it, without leading zeros; `point`: uncompressed. */
export function encodeKeyPair(scalar: Uint8Array, point: Uint8Array): KeyPair {
  const padding = Buffer.alloc(SCALAR_BYTES - scalar.length);
  return {
    spki: Buffer.concat([SPKI_HEAD, point]),
    keyId: hash('sha1', point, 'buffer'),
    pkcs8: Buffer.concat([PKCS8_HEAD, padding, scalar, PKCS8_POINT, point]),
  };
}
