/** Certificate signing requests as SPIRE's agents make them: `C=US, O=SPIRE`, with a key that the test keeps. */

import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { bitString, explicit, integer, oid, sequence } from '../../src/ca/der.ts';
import { encodeName } from '../../src/ca/name.ts';

export interface KeyOfCsr {
  readonly csr: Buffer;
  readonly privateKey: KeyObject;
}

export interface CsrOptions {
  readonly privateKey?: KeyObject;
  /** The key that the request has, if it is another than the one that signs. */
  readonly publicKey?: KeyObject;
  /** Extensions that it asks for, DER of the attributes. */
  readonly attributes?: Buffer;
  readonly hash?: 'sha256' | 'sha384' | 'sha512';
}

const ECDSA = { sha256: '1.2.840.10045.4.3.2', sha384: '1.2.840.10045.4.3.3', sha512: '1.2.840.10045.4.3.4' };
const RSA = { sha256: '1.2.840.113549.1.1.11', sha384: '1.2.840.113549.1.1.12', sha512: '1.2.840.113549.1.1.13' };

export function makeCsr({ attributes = Buffer.alloc(0), hash = 'sha256', ...keys }: CsrOptions = {}): KeyOfCsr {
  const { privateKey = newKey(), publicKey } = keys;
  const spki = (publicKey ?? createPublicKey(privateKey)).export({ type: 'spki', format: 'der' });
  const subject = encodeName([
    { type: 'C', value: 'US' },
    { type: 'O', value: 'SPIRE' },
  ]);
  const info = sequence(integer(Uint8Array.of(0)), subject, spki, explicit(0, attributes));
  const isRsa = privateKey.asymmetricKeyType === 'rsa';
  const algorithm = isRsa ? sequence(oid(RSA[hash]), Buffer.from('0500', 'hex')) : sequence(oid(ECDSA[hash]));
  return { csr: sequence(info, algorithm, bitString(sign(hash, info, privateKey))), privateKey };
}

export function newKey(namedCurve = 'P-256'): KeyObject {
  return generateKeyPairSync('ec', { namedCurve }).privateKey;
}
