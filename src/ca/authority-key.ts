/** The keys of roots and intermediates: makes them and recognizes their types. */

import { type KeyObject, webcrypto } from 'node:crypto';
import { AUTHORITY_KEY_TYPES, type AuthorityKeyType } from '../spiffe/key-types.ts';

const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: 'SHA-256',
} as const;

const ALGORITHMS = {
  'ec-p256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'ec-p384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  'rsa-2048': { ...RSA, modulusLength: 2048 },
  'rsa-3072': { ...RSA, modulusLength: 3072 },
  'rsa-4096': { ...RSA, modulusLength: 4096 },
} as const satisfies Record<AuthorityKeyType, unknown>;

/** The algorithm of keys and signatures of this type, for Web Crypto. */
export function keyAlgorithm(type: AuthorityKeyType): (typeof ALGORITHMS)[AuthorityKeyType] {
  return ALGORITHMS[type];
}

/** Makes a key in the thread pool; an RSA key of 4096 bits takes seconds. Its private key can be exported. */
export async function generateAuthorityKey(type: AuthorityKeyType): Promise<webcrypto.CryptoKeyPair> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm(type), true, ['sign', 'verify']);
  return keys as webcrypto.CryptoKeyPair;
}

/** The type of a private or public key; undefined if authorities do not have such keys. */
export function keyTypeOf(key: KeyObject): AuthorityKeyType | undefined {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  const curve = namedCurve === 'prime256v1' ? 'p256' : namedCurve === 'secp384r1' ? 'p384' : namedCurve;
  const found = `${key.asymmetricKeyType}-${curve ?? modulusLength}`;
  return AUTHORITY_KEY_TYPES.find((type) => type === found);
}
