/** The keys of roots and intermediates: makes them and recognizes their types. */

import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { AUTHORITY_KEY_TYPES, type AuthorityKeyType } from '../spiffe/index.ts';

const PUBLIC_EXPONENT = 65_537;
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

const generate = promisify(generateKeyPair);

/** Makes a key in the thread pool; an RSA key of 4096 bits takes seconds. */
export function generateAuthorityKey(type: AuthorityKeyType): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  const algorithm = keyAlgorithm(type);
  if ('namedCurve' in algorithm) return generate('ec', { namedCurve: algorithm.namedCurve });
  return generate('rsa', { modulusLength: algorithm.modulusLength, publicExponent: PUBLIC_EXPONENT });
}

/** The type of a private or public key; undefined if authorities do not have such keys. */
export function keyTypeOf(key: KeyObject): AuthorityKeyType | undefined {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  const curve = namedCurve === 'prime256v1' ? 'p256' : namedCurve === 'secp384r1' ? 'p384' : namedCurve;
  const found = `${key.asymmetricKeyType}-${curve ?? modulusLength}`;
  return AUTHORITY_KEY_TYPES.find((type) => type === found);
}
