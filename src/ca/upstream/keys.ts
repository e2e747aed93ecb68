/** Keys of authorities for Web Crypto, which `@peculiar/x509` signs with. */

import { createPublicKey, type KeyObject, type webcrypto } from 'node:crypto';

export interface SigningKey {
  readonly privateKey: webcrypto.CryptoKey;
  readonly publicKey: webcrypto.CryptoKey;
  /** The algorithm of its signatures. */
  readonly algorithm: { readonly name: string; readonly hash: string };
}

/** Each curve has the hash of its strength. */
const CURVES: Readonly<Record<string, { readonly namedCurve: string; readonly hash: string }>> = {
  prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
  secp521r1: { namedCurve: 'P-521', hash: 'SHA-512' },
};

/** In bits. Peers refuse shorter keys; longer ones make each handshake slow. */
const RSA_LEAST = 2048;
const RSA_MOST = 8192;

/** Why peers might not verify signatures of this key; undefined if they do. Completes "its key …". */
export function keyFault({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  if (asymmetricKeyType === 'rsa') {
    const { modulusLength = 0 } = asymmetricKeyDetails ?? {};
    if (modulusLength >= RSA_LEAST && modulusLength <= RSA_MOST) return undefined;
    return `is RSA with ${modulusLength} bits: ${RSA_LEAST} to ${RSA_MOST} bits are allowed`;
  }
  const { namedCurve = '' } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === 'ec' && Object.hasOwn(CURVES, namedCurve)) return undefined;
  return `is of type ${asymmetricKeyType}${namedCurve && ` ${namedCurve}`}: use RSA, or EC on P-256, P-384 or P-521`;
}

/** @throws {Error} for a key with a {@link keyFault} */
export function signingKey(privateKey: KeyObject): SigningKey {
  const fault = keyFault(privateKey);
  if (fault !== undefined) throw new Error(`its key ${fault}`);
  const curve = CURVES[privateKey.asymmetricKeyDetails?.namedCurve ?? ''];
  const imported =
    curve === undefined
      ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
      : { name: 'ECDSA', namedCurve: curve.namedCurve };
  return {
    privateKey: privateKey.toCryptoKey(imported, false, ['sign']),
    publicKey: createPublicKey(privateKey).toCryptoKey(imported, true, ['verify']),
    algorithm: { name: imported.name, hash: curve?.hash ?? 'SHA-256' },
  };
}
