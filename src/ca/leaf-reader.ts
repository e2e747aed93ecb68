/**
 * Reads an X.509-SVID from the PEM that is about to be sent. It follows the standards and shares neither code nor
 * constants with the writer. It checks the properties that all SVIDs share, and returns the others for the caller to
 * check.
 *
 * @see RFC 5280 section 4.1, RFC 5758 section 3.2, RFC 4055 section 5, RFC 8017 section 8.2.2
 */

import type { AuthorityKeyType } from '../spiffe/index.ts';
import { DerReader, TAG } from './der-reader.ts';
import { type ReadPublicKey, readBits, readPemBlock, readPositive, readPublicKey } from './key-reader.ts';
import { type LeafExtensions, readLeafExtensions } from './leaf-extensions-reader.ts';

export interface ReadLeaf<Key = ReadPublicKey> extends LeafExtensions {
  /** Lower-case hex of whole bytes. */
  readonly serial: string;
  /** DER. */
  readonly issuer: Buffer;
  /** As in `C=US,O=Sidekey`. */
  readonly subject: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly publicKey: Key;
}

const VERSION_3 = Uint8Array.of(2);
/** The attributes of a subject: object identifiers under 2.5.4. */
const COMMON_NAME = 0x550403;
const COUNTRY = 0x550406;
const ORGANIZATION = 0x55040a;

/** The form of a signature: of two numbers between zero and the order of the group; or of as many bytes as the modulus. */
type SignatureForm = { readonly id: Buffer } & (
  | { readonly order: string }
  | { readonly bytes: number; readonly order?: undefined }
);
const ECDSA_WITH_SHA256 = Buffer.from('2a8648ce3d040302', 'hex');
const ECDSA_WITH_SHA384 = Buffer.from('2a8648ce3d040303', 'hex');
const SHA256_WITH_RSA = Buffer.from('2a864886f70d01010b', 'hex');
const FORMS: Readonly<Record<AuthorityKeyType, SignatureForm>> = {
  'ec-p256': {
    id: ECDSA_WITH_SHA256,
    order: 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  },
  'ec-p384': {
    id: ECDSA_WITH_SHA384,
    order: 'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
  },
  'rsa-2048': { id: SHA256_WITH_RSA, bytes: 256 },
  'rsa-3072': { id: SHA256_WITH_RSA, bytes: 384 },
  'rsa-4096': { id: SHA256_WITH_RSA, bytes: 512 },
};
const NOTHING = new Uint8Array();

/**
 * `pem`: exactly one certificate. @param signedBy the type of its authority's key, which determines the algorithm and the
 * form of the signature. The signature itself is not verified. @throws {Error} whose message says what is wrong
 */
export function readLeaf(pem: string, signedBy: AuthorityKeyType): ReadLeaf {
  const readKey = (certificate: DerReader) => certificate.inside(TAG.sequence, readPublicKey);
  return readLeafDer(readPemBlock(pem, 'CERTIFICATE'), signedBy, readKey);
}

/** The same of DER. @param readKey reads its SubjectPublicKeyInfo */
export function readLeafDer<Key>(
  der: Buffer,
  signedBy: AuthorityKeyType,
  readKey: (certificate: DerReader) => Key,
): ReadLeaf<Key> {
  const form = FORMS[signedBy];
  const reader = new DerReader(der);
  return reader.inside(TAG.sequence, (certificate) => {
    const leaf = certificate.inside(TAG.sequence, (toBeSigned) => readToBeSigned(toBeSigned, form, readKey));
    certificate.inside(TAG.sequence, (algorithm) => readSignatureAlgorithm(algorithm, form));
    const signature = readBits(certificate);
    if (form.order !== undefined) readEcdsaSignature(signature, form.order);
    else if (signature.length !== form.bytes) throw new Error('its signature is malformed');
    reader.end();
    return leaf;
  });
}

function readToBeSigned<Key>(
  certificate: DerReader,
  form: SignatureForm,
  readKey: (certificate: DerReader) => Key,
): ReadLeaf<Key> {
  certificate.inside(0xa0, (tagged) => tagged.demand(TAG.integer, VERSION_3));
  const serial = readPositive(certificate);
  if (serial.length > 40) throw new Error('it has a serial of more than 20 bytes');
  certificate.inside(TAG.sequence, (algorithm) => readSignatureAlgorithm(algorithm, form));
  const issuer = certificate.whole(TAG.sequence);
  const [notBefore, notAfter] = certificate.inside(
    TAG.sequence,
    (dates) => [readTime(dates), readTime(dates)] as const,
  );
  const subject = certificate.inside(TAG.sequence, readName);
  const publicKey = readKey(certificate);
  const extensions = certificate.inside(0xa3, (tagged) => tagged.inside(TAG.sequence, readLeafExtensions));
  return { serial, issuer, subject, notBefore, notAfter, publicKey, ...extensions };
}

function readSignatureAlgorithm(algorithm: DerReader, { id, order }: SignatureForm): void {
  algorithm.demand(TAG.oid, id);
  if (order === undefined) algorithm.demand(TAG.null, NOTHING);
}

function readEcdsaSignature(bytes: Buffer, order: string): void {
  const reader = new DerReader(bytes);
  reader.inside(TAG.sequence, (signature) => {
    for (const _ of ['r', 's']) {
      const hex = readPositive(signature);
      if (hex.length > order.length || hex.padStart(order.length, '0') >= order)
        throw new Error('its signature is malformed');
    }
  });
  reader.end();
}

/** UTCTime until 2049, then GeneralizedTime, as RFC 5280 section 4.1.2.5 requires. */
function readTime(reader: DerReader): number {
  const isShort = reader.tag === TAG.utcTime;
  const text = reader.text(isShort ? TAG.utcTime : TAG.generalizedTime);
  if (!(isShort ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) throw new Error('it has an invalid date');
  const digits = isShort ? (text < '5' ? '20' : '19') + text : text;
  if (!isShort && digits < '2050') throw new Error('it has a date before 2050 as GeneralizedTime');
  const [month, day, hour] = [twoDigits(digits, 4), twoDigits(digits, 6), twoDigits(digits, 8)];
  const [minute, second] = [twoDigits(digits, 10), twoDigits(digits, 12)];
  const date = new Date(Date.UTC(Number(digits.slice(0, 4)), month - 1, day, hour, minute, second));
  // Date.UTC accepts values that are too large and carries them over, so that the result differs from the input.
  const isThere = date.getUTCMonth() === month - 1 && date.getUTCHours() === hour && date.getUTCMinutes() === minute;
  if (!isThere) throw new Error('it has an invalid date');
  return date.getTime();
}

function twoDigits(digits: string, from: number): number {
  return Number(digits.slice(from, from + 2));
}

/** Each RDN must have one attribute. */
function readName(name: DerReader): string {
  let parts = '';
  while (name.tag !== undefined) {
    const part = name.inside(TAG.set, (set) => set.inside(TAG.sequence, readAttribute));
    parts += parts === '' ? part : `,${part}`;
  }
  return parts;
}

function readAttribute(attribute: DerReader): string {
  const type = attribute.number(TAG.oid);
  if (type === COUNTRY) return `C=${attribute.text(TAG.printableString)}`;
  if (type === ORGANIZATION) return `O=${attribute.text(TAG.utf8String)}`;
  if (type === COMMON_NAME) return `CN=${attribute.text(TAG.utf8String)}`;
  throw new Error('its subject has an attribute that SVIDs do not have');
}
