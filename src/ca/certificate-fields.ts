/**
 * The certificate fields that path validation needs and node:crypto does not expose.
 *
 * @see RFC 5280 sections 4.1 and 4.2
 */

import { DerReader, TAG } from './der-reader.ts';

export interface CertificateFields {
  /** DER. */
  readonly subject: Buffer;
  /** True if the subject is empty. */
  readonly isNameless: boolean;
  /** `cA` of the basic constraints. */
  readonly isCa: boolean;
  /** The maximum number of CA certificates below this one; undefined: no limit. */
  readonly pathLength: number | undefined;
  /** The first eight bits of the key usage, digitalSignature the highest; undefined without that extension. */
  readonly keyUsage: number | undefined;
  /** Dotted OIDs; undefined without that extension. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** The subject key identifier, lower-case hex. */
  readonly keyId: string | undefined;
  /** The URIs among the subject's alternative names. */
  readonly uris: readonly string[];
  readonly hasNameConstraints: boolean;
  /** The dotted OIDs of critical extensions that Sidekey does not know. */
  readonly unknownCritical: readonly string[];
}

export const CERT_SIGN = 0x04;

const OID = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  extendedKeyUsage: '2.5.29.37',
} as const;
const KNOWN: readonly string[] = Object.values(OID);

const URI_NAME = 0x86;

/** `der`: one certificate. @throws {RangeError} if it is not DER or not a certificate of version 3 */
export function readCertificateFields(der: Buffer): CertificateFields {
  const certificate = new DerReader(der);
  return certificate.inside(TAG.sequence, (parts) => {
    const fields = parts.inside(TAG.sequence, readToBeSigned);
    skip(parts);
    skip(parts);
    return fields;
  });
}

function readToBeSigned(reader: DerReader): CertificateFields {
  reader.contents(0xa0); // version
  reader.contents(TAG.integer); // serial
  reader.contents(TAG.sequence); // signature algorithm
  reader.contents(TAG.sequence); // issuer
  reader.contents(TAG.sequence); // validity
  const subject = reader.whole(TAG.sequence);
  reader.contents(TAG.sequence); // public key
  while (reader.tag === 0x81 || reader.tag === 0x82) skip(reader); // unique identifiers
  const extensions = reader.tag === undefined ? [] : reader.inside(0xa3, (all) => all.inside(TAG.sequence, readEach));
  const extension = (oid: string) => {
    const value = extensions.find((one) => one.oid === oid)?.value;
    return value && new DerReader(value);
  };
  const { isCa, pathLength } = readBasicConstraints(extension(OID.basicConstraints));
  return {
    subject,
    isNameless: subject.length === 2,
    isCa,
    pathLength,
    keyUsage: readKeyUsage(extension(OID.keyUsage)),
    extendedKeyUsage: extension(OID.extendedKeyUsage)?.inside(TAG.sequence, readOids),
    keyId: extension(OID.subjectKeyId)?.hex(TAG.octetString),
    uris: readUris(extension(OID.subjectAltName)),
    hasNameConstraints: extension(OID.nameConstraints) !== undefined,
    unknownCritical: extensions.filter(({ oid, critical }) => critical && !KNOWN.includes(oid)).map(({ oid }) => oid),
  };
}

interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Buffer;
}

function readEach(all: DerReader): Extension[] {
  const found: Extension[] = [];
  while (all.tag !== undefined) {
    const extension = all.inside(TAG.sequence, (parts) => {
      const oid = dotted(parts.contents(TAG.oid));
      const critical = parts.tag === TAG.boolean && parts.contents(TAG.boolean)[0] !== 0;
      return { oid, critical, value: parts.contents(TAG.octetString) };
    });
    // Verifiers disagree about which of two copies applies.
    if (found.some(({ oid }) => oid === extension.oid))
      throw new RangeError(`the extension ${extension.oid} occurs twice`);
    found.push(extension);
  }
  return found;
}

function readBasicConstraints(value: DerReader | undefined): Pick<CertificateFields, 'isCa' | 'pathLength'> {
  if (value === undefined) return { isCa: false, pathLength: undefined };
  return value.inside(TAG.sequence, (parts) => {
    const isCa = parts.tag === TAG.boolean && parts.contents(TAG.boolean)[0] !== 0;
    return { isCa, pathLength: parts.tag === undefined ? undefined : parts.number(TAG.integer) };
  });
}

function readKeyUsage(value: DerReader | undefined): number | undefined {
  return value?.contents(TAG.bitString)[1] ?? (value === undefined ? undefined : 0);
}

function readOids(parts: DerReader): string[] {
  const oids: string[] = [];
  while (parts.tag !== undefined) oids.push(dotted(parts.contents(TAG.oid)));
  return oids;
}

function readUris(value: DerReader | undefined): string[] {
  if (value === undefined) return [];
  return value.inside(TAG.sequence, (names) => {
    const uris: string[] = [];
    while (names.tag !== undefined) {
      if (names.tag === URI_NAME) uris.push(names.text(URI_NAME));
      else skip(names);
    }
    return uris;
  });
}

function skip(reader: DerReader): void {
  reader.contents(reader.tag ?? TAG.sequence);
}

function dotted(contents: Buffer): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of contents) {
    arc = arc * 0x80 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (arcs.length === 0) arcs.push(Math.min(Math.floor(arc / 40), 2), arc - 40 * Math.min(Math.floor(arc / 40), 2));
    else arcs.push(arc);
    arc = 0;
  }
  return arcs.join('.');
}
