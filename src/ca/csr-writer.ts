/**
 * Writes certificate signing requests for keys of this host, which another server certifies. What the certificate says is
 * that server's choice; the names are in the request for servers that compare them.
 *
 * @see RFC 2986 section 4 (PKCS#10), RFC 2985 section 5.4.2 (extensionRequest)
 */

import { createPrivateKey, sign } from 'node:crypto';
import { promisify } from 'node:util';
import type { SpiffeId } from '../spiffe/index.ts';
import { keyTypeOf } from './authority-key.ts';
import { subjectAltName } from './certificate.ts';
import { bitString, explicit, integer, oid, sequence, set } from './der.ts';
import type { KeyPair } from './key-pair.ts';
import { encodeName } from './name.ts';
import { signatureAlgorithm } from './signature-algorithm.ts';

const VERSION_1 = integer(Uint8Array.of(0));
const EXTENSION_REQUEST = oid('1.2.840.113549.1.9.14');
const SUBJECT = encodeName([
  { type: 'C', value: 'US' },
  { type: 'O', value: 'Sidekey' },
]);

const signInThreadPool = promisify(sign);

/** What a request asks for; without names it has no extensions. */
export interface CsrNames {
  readonly spiffeId?: SpiffeId;
  readonly dnsNames?: readonly string[];
}

/**
 * A request in DER, signed with its key: of EC on P-256 or P-384, or of RSA with 2048, 3072 or 4096 bits.
 * @throws RangeError for a name that is not ASCII; Error for a key of another type
 */
export async function makeCsr(
  { spki, pkcs8 }: Pick<KeyPair, 'spki' | 'pkcs8'>,
  { spiffeId, dnsNames = [] }: CsrNames = {},
): Promise<Buffer> {
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const type = keyTypeOf(key);
  if (type === undefined)
    throw new Error('a CSR needs an EC key on P-256 or P-384, or an RSA key of 2048 bits or more');
  const attributes =
    spiffeId === undefined ? [] : [sequence(EXTENSION_REQUEST, set(sequence(subjectAltName(spiffeId, dnsNames))))];
  const info = sequence(VERSION_1, SUBJECT, spki, explicit(0, ...attributes));
  const { hash, identifier } = signatureAlgorithm(type);
  return sequence(info, identifier, bitString(await signInThreadPool(hash, info, key)));
}
