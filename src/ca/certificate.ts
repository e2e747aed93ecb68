/**
 * Encodes X.509 v3 certificates in the profile of X.509-SVIDs.
 *
 * @see RFC 5280 section 4, https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md sections 2 to 4
 */

import { randomBytes } from 'node:crypto';
import { bitString, explicit, implicit, integer, octetString, oid, sequence, TRUE, timeElement } from './der.ts';

const VERSION_3 = explicit(0, integer(Uint8Array.of(2)));

export const SUBJECT_KEY_ID: Buffer = oid('2.5.29.14');
const KEY_USAGE = oid('2.5.29.15');
const SUBJECT_ALT_NAME = oid('2.5.29.17');
const BASIC_CONSTRAINTS = oid('2.5.29.19');
const AUTHORITY_KEY_ID = oid('2.5.29.35');
const EXTENDED_KEY_USAGE = oid('2.5.29.37');

export const digitalSignature: Buffer = keyUsage(0x80, 7);
export const serverAndClientAuth: Buffer = extension(
  EXTENDED_KEY_USAGE,
  sequence(oid('1.3.6.1.5.5.7.3.1'), oid('1.3.6.1.5.5.7.3.2')),
);
export const notAnAuthority: Buffer = extension(BASIC_CONSTRAINTS, sequence(), 'critical');

export function subjectKeyId(keyId: Uint8Array): Buffer {
  return extension(SUBJECT_KEY_ID, octetString(keyId));
}

export function authorityKeyId(keyId: Uint8Array): Buffer {
  return extension(AUTHORITY_KEY_ID, sequence(implicit(0, keyId)));
}

/** @throws {RangeError} for a name that is not ASCII */
export function subjectAltName(uri: string, dnsNames: readonly string[]): Buffer {
  const names = [implicit(6, ascii(uri)), ...dnsNames.map((name) => implicit(2, ascii(name)))];
  return extension(SUBJECT_ALT_NAME, sequence(...names));
}

/** Start and end, in milliseconds since the epoch. */
export function validity(notBefore: number, notAfter: number): Buffer {
  return sequence(timeElement(notBefore), timeElement(notAfter));
}

/** Rounds down to a whole second, since certificates have no fractions. In and out: milliseconds since the epoch. */
export function wholeSecond(instant: number): number {
  return Math.floor(instant / 1000) * 1000;
}

/** 159 random bits, never zero, without leading zero bytes. */
export function randomSerial(): Buffer {
  for (;;) {
    const bytes = randomBytes(20);
    bytes[0]! &= 0x7f;
    const first = bytes.findIndex((byte) => byte !== 0);
    if (first !== -1) return bytes.subarray(first);
  }
}

export interface CertificateContents {
  readonly serial: Uint8Array;
  /** The following fields are DER. */
  readonly signatureAlgorithm: Uint8Array;
  readonly issuer: Uint8Array;
  readonly validity: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  readonly extensions: readonly Uint8Array[];
}

/** The part of a certificate that the authority signs, DER. */
export function encodeToBeSigned(contents: CertificateContents): Buffer {
  return sequence(
    VERSION_3,
    integer(contents.serial),
    contents.signatureAlgorithm,
    contents.issuer,
    contents.validity,
    contents.subject,
    contents.spki,
    explicit(3, sequence(...contents.extensions)),
  );
}

/** The certificate, DER. @param signatureAlgorithm the same as in `toBeSigned` @param signature see {@link Signer.sign} */
export function encodeCertificate(
  toBeSigned: Uint8Array,
  signatureAlgorithm: Uint8Array,
  signature: Uint8Array,
): Buffer {
  return sequence(toBeSigned, signatureAlgorithm, bitString(signature));
}

/** `bits`: the first bit is the high bit of the first byte, as in RFC 5280 section 4.2.1.3. */
function keyUsage(bits: number, unusedBits: number): Buffer {
  return extension(KEY_USAGE, bitString(Uint8Array.of(bits), unusedBits), 'critical');
}

export function extension(id: Buffer, value: Buffer, critical?: 'critical'): Buffer {
  return critical === undefined ? sequence(id, octetString(value)) : sequence(id, TRUE, octetString(value));
}

function ascii(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length !== text.length) throw new RangeError(`${JSON.stringify(text)} is not ASCII`);
  return bytes;
}
