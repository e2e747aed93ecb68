/**
 * Reads the extensions of an X.509-SVID, which must be exactly its six, each once.
 *
 * @see RFC 5280 section 4.2.1, https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md section 4
 */

import { type DerReader, TAG } from './der-reader.ts';

export interface LeafExtensions {
  /** Lower-case hex. */
  readonly authorityKeyId: string;
  readonly subjectKeyId: string;
  /** In the certificate's order, with their kinds: `URI:spiffe://…`, `DNS:…`. */
  readonly names: readonly string[];
}

/** Object identifiers under 2.5.29. */
const SUBJECT_KEY_ID = 0x551d0e;
const KEY_USAGE = 0x551d0f;
const SUBJECT_ALT_NAME = 0x551d11;
const BASIC_CONSTRAINTS = 0x551d13;
const AUTHORITY_KEY_ID = 0x551d23;
const EXTENDED_KEY_USAGE = 0x551d25;
const COUNT = 6;

/** A bit string with seven unused bits, whose first bit is set. */
const DIGITAL_SIGNATURE = Uint8Array.of(7, 0x80);
const SERVER_AUTH = Buffer.from('2b06010505070301', 'hex');
const CLIENT_AUTH = Buffer.from('2b06010505070302', 'hex');
const TRUE = Uint8Array.of(0xff);
/** Context tags. */
const KEY_ID = 0x80;
const DNS = 0x82;
const URI = 0x86;

/** @throws {Error} whose message says what is wrong */
export function readLeafExtensions(reader: DerReader): LeafExtensions {
  const seen: number[] = [];
  let authorityKeyId = '';
  let subjectKeyId = '';
  const names: string[] = [];

  const readValue = (id: number, value: DerReader): void => {
    if (id === KEY_USAGE) value.demand(TAG.bitString, DIGITAL_SIGNATURE);
    else if (id === EXTENDED_KEY_USAGE) value.inside(TAG.sequence, readPurposes);
    else if (id === BASIC_CONSTRAINTS) value.demand(TAG.sequence, NOTHING);
    else if (id === SUBJECT_KEY_ID) subjectKeyId = value.hex(TAG.octetString);
    else if (id === AUTHORITY_KEY_ID) authorityKeyId = value.inside(TAG.sequence, (ids) => ids.hex(KEY_ID));
    else if (id === SUBJECT_ALT_NAME) value.inside(TAG.sequence, (all) => readNames(all, names));
    else throw new Error('it has an extension that SVIDs do not have');
  };
  const readExtension = (extension: DerReader): void => {
    const id = extension.number(TAG.oid);
    if (seen.includes(id)) throw new Error('it has an extension twice');
    seen.push(id);
    if (id === KEY_USAGE || id === BASIC_CONSTRAINTS) extension.demand(TAG.boolean, TRUE);
    extension.inside(TAG.octetString, (value) => readValue(id, value));
  };
  while (reader.tag !== undefined) reader.inside(TAG.sequence, readExtension);
  if (seen.length !== COUNT) throw new Error('it lacks an extension');
  return { authorityKeyId, subjectKeyId, names };
}

const NOTHING = new Uint8Array();

function readPurposes(purposes: DerReader): void {
  purposes.demand(TAG.oid, SERVER_AUTH);
  purposes.demand(TAG.oid, CLIENT_AUTH);
}

function readNames(reader: DerReader, names: string[]): void {
  while (reader.tag !== undefined) {
    names.push(reader.tag === URI ? `URI:${reader.text(URI)}` : `DNS:${reader.text(DNS)}`);
  }
}
