/**
 * Reads certificate signing requests: of a request only the key counts, and the signature that proves possession of it.
 * Subject and attributes are read over, since what a certificate says comes from the registry alone.
 *
 * @see RFC 2986 section 4 (PKCS#10), RFC 5480 and RFC 8017 (keys and signatures)
 */

import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { DerReader, TAG } from './der-reader.ts';
import type { LeafKey } from './leaf.ts';

/** Larger than any request for an accepted key with many names in it. */
export const MAX_CSR_BYTES = 16 * 1024;

/** Why a request is refused. */
export class CsrError extends Error {
  constructor(problem: string) {
    super(`the CSR is refused: ${problem}`);
    this.name = 'CsrError';
  }
}

const KEYS = 'EC keys on P-256 or P-384, or RSA keys with 2048 to 4096 bits and the exponent 65537';
const VERSION_1 = Uint8Array.of(0);
const NOTHING = new Uint8Array();
const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1'];
/** SubjectPublicKeyInfo of an uncompressed point of P-256, before the point. */
const P256_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');
const P256_BYTES = 91;

/** The algorithms of signatures: by object identifier, the hash and the type of the key. */
const ALGORITHMS: Readonly<Record<string, readonly [hash: string, type: 'ec' | 'rsa']>> = {
  '2a8648ce3d040302': ['sha256', 'ec'],
  '2a8648ce3d040303': ['sha384', 'ec'],
  '2a8648ce3d040304': ['sha512', 'ec'],
  '2a864886f70d01010b': ['sha256', 'rsa'],
  '2a864886f70d01010c': ['sha384', 'rsa'],
  '2a864886f70d01010d': ['sha512', 'rsa'],
};

interface ReadCsr extends LeafKey {
  readonly key: KeyObject;
  readonly signed: Buffer;
  readonly signature: Buffer;
  readonly hash: string;
}

/**
 * The key of a request, whose signature is good. The signature is verified in the thread pool.
 * @param der as it came; nothing of it is kept @throws CsrError
 */
export async function keyOfCsr(der: Uint8Array): Promise<LeafKey> {
  const { key, signed, signature, hash: algorithm, spki, keyId } = readCsr(der);
  const isGood = await new Promise<boolean>((resolve) => {
    verify(algorithm, signed, key, signature, (error, result) => resolve(error === null && result));
  });
  if (!isGood) throw new CsrError('its signature does not belong to its key');
  return { spki, keyId };
}

function readCsr(der: Uint8Array): ReadCsr {
  if (der.length === 0) throw new CsrError('it is empty');
  if (der.length > MAX_CSR_BYTES) throw new CsrError(`it has ${der.length} bytes, at most ${MAX_CSR_BYTES} are read`);
  try {
    return read(Buffer.from(der));
  } catch (error) {
    if (error instanceof CsrError) throw error;
    throw new CsrError('it is not a PKCS#10 request in DER');
  }
}

function read(der: Buffer): ReadCsr {
  const reader = new DerReader(der);
  const csr = reader.inside(TAG.sequence, (request) => {
    const signed = request.whole(TAG.sequence);
    const spki = new DerReader(signed).inside(TAG.sequence, readInfo);
    const [algorithm, type] = request.inside(TAG.sequence, readAlgorithm);
    const bits = request.contents(TAG.bitString);
    if (bits[0] !== 0) throw new CsrError('its signature has unused bits');
    return { signed, spki, hash: algorithm, type, signature: bits.subarray(1) };
  });
  reader.end();
  return { ...csr, ...keyOf(csr.spki, csr.type) };
}

function readInfo(info: DerReader): Buffer {
  info.demand(TAG.integer, VERSION_1);
  info.contents(TAG.sequence);
  const spki = info.whole(TAG.sequence);
  if (info.tag !== undefined) info.contents(0xa0);
  return spki;
}

function readAlgorithm(reader: DerReader): readonly [hash: string, type: 'ec' | 'rsa'] {
  const id = reader.hex(TAG.oid);
  const known = Object.hasOwn(ALGORITHMS, id) ? ALGORITHMS[id] : undefined;
  if (known === undefined) throw new CsrError('it is not signed with ECDSA or RSA PKCS#1 and SHA-2');
  if (known[1] === 'rsa' && reader.tag !== undefined) reader.demand(TAG.null, NOTHING);
  return known;
}

function keyOf(spki: Buffer, type: 'ec' | 'rsa'): Pick<ReadCsr, 'key' | 'spki' | 'keyId'> {
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const { namedCurve, modulusLength = 0, publicExponent } = key.asymmetricKeyDetails ?? {};
  const isAllowed =
    key.asymmetricKeyType === 'ec'
      ? CURVES.includes(namedCurve)
      : key.asymmetricKeyType === 'rsa' &&
        modulusLength >= 2048 &&
        modulusLength <= 4096 &&
        modulusLength % 8 === 0 &&
        publicExponent === 65_537n;
  if (!isAllowed) throw new CsrError(`its key is of another kind than ${KEYS}`);
  if (key.asymmetricKeyType !== type) throw new CsrError('its signature is of another kind than its key');
  // The bytes come into the certificate, so they must be the only encoding of the key.
  const isPlain = spki.length === P256_BYTES && spki.subarray(0, P256_HEAD.length).equals(P256_HEAD);
  if (!isPlain && !spki.equals(key.export({ type: 'spki', format: 'der' }))) {
    throw new CsrError('its key is not encoded in the one form of DER');
  }
  const info = new DerReader(spki);
  const bits = info.inside(TAG.sequence, (inner) => {
    inner.contents(TAG.sequence);
    return inner.contents(TAG.bitString).subarray(1);
  });
  return { key, spki, keyId: Buffer.from(hash('sha1', bits), 'hex') };
}
