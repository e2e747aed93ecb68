/**
 * Reads an X.509-SVID from the PEM that is about to be sent. It follows the standards and shares neither code nor
 * constants with the writer. It checks the properties that all SVIDs share, and returns the others for the caller to
 * check.
 *
 * @see RFC 5280 section 4.1, RFC 5480, RFC 5758 section 3.2
 */

import { DerReader, TAG } from './der-reader.ts';
import { readBits, readP256, readPemBlock, readPoint } from './key-reader.ts';
import { type LeafExtensions, readLeafExtensions } from './leaf-extensions-reader.ts';

export interface ReadLeaf extends LeafExtensions {
  /** Lower-case hex of whole bytes. */
  readonly serial: string;
  /** DER. */
  readonly issuer: Buffer;
  /** As in `C=US,O=Sidekey`. */
  readonly subject: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** The public key: an uncompressed point. */
  readonly point: Buffer;
}

const VERSION_3 = Uint8Array.of(2);
const ECDSA_WITH_SHA256 = Buffer.from('2a8648ce3d040302', 'hex');
/** The attributes of a subject: object identifiers under 2.5.4. */
const COMMON_NAME = 0x550403;
const COUNTRY = 0x550406;
const ORGANIZATION = 0x55040a;
/** The order of the group of P-256. */
const ORDER = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';

/** `pem`: exactly one certificate. @throws {Error} whose message says what is wrong */
export function readLeaf(pem: string): ReadLeaf {
  const reader = new DerReader(readPemBlock(pem, 'CERTIFICATE'));
  return reader.inside(TAG.sequence, (certificate) => {
    const leaf = certificate.inside(TAG.sequence, readToBeSigned);
    certificate.inside(TAG.sequence, readSignatureAlgorithm);
    readSignature(readBits(certificate));
    reader.end();
    return leaf;
  });
}

function readToBeSigned(certificate: DerReader): ReadLeaf {
  certificate.inside(0xa0, (tagged) => tagged.demand(TAG.integer, VERSION_3));
  const serial = readPositive(certificate);
  if (serial.length > 40) throw new Error('it has a serial of more than 20 bytes');
  certificate.inside(TAG.sequence, readSignatureAlgorithm);
  const issuer = certificate.whole(TAG.sequence);
  const [notBefore, notAfter] = certificate.inside(
    TAG.sequence,
    (dates) => [readTime(dates), readTime(dates)] as const,
  );
  const subject = certificate.inside(TAG.sequence, readName);
  const point = certificate.inside(TAG.sequence, readPublicKey);
  const extensions = certificate.inside(0xa3, (tagged) => tagged.inside(TAG.sequence, readLeafExtensions));
  return { serial, issuer, subject, notBefore, notAfter, point, ...extensions };
}

function readSignatureAlgorithm(algorithm: DerReader): void {
  algorithm.demand(TAG.oid, ECDSA_WITH_SHA256);
}

function readPublicKey(info: DerReader): Buffer {
  info.inside(TAG.sequence, readP256);
  return readPoint(info);
}

/** Two numbers between zero and the order of the group. The signature itself is not verified. */
function readSignature(bytes: Buffer): void {
  const reader = new DerReader(bytes);
  reader.inside(TAG.sequence, (signature) => {
    for (const _ of ['r', 's']) {
      const hex = readPositive(signature);
      if (hex.padStart(64, '0') >= ORDER || hex.length > 64) throw new Error('its signature is malformed');
    }
  });
  reader.end();
}

/** A number above zero, as lower-case hex of whole bytes without leading zeros. */
function readPositive(reader: DerReader): string {
  const hex = reader.hex(TAG.integer);
  // DER requires a leading zero byte exactly if the number would be negative without it.
  const isPadded = hex.startsWith('00');
  const bare = isPadded ? hex.slice(2) : hex;
  const isNegative = bare >= '8';
  if (bare === '' || isPadded !== isNegative) throw new Error('it has a number that is not positive');
  return bare;
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
