/** Reads protobuf messages field by field, decoding only the fields that are used. */

import { BinaryReader } from '@bufbuild/protobuf/wire';
import { Status, StatusError } from '../wire/index.ts';

/** The wire type of strings, bytes and messages. */
export const LENGTH_DELIMITED = 2;

/**
 * Calls `read` for each field; fields for which it returns false are skipped.
 * @throws StatusError INVALID_ARGUMENT if the bytes are not a message of this type
 */
export function readFields(
  bytes: Uint8Array,
  message: string,
  read: (field: number, wireType: number, reader: BinaryReader) => boolean,
): void {
  try {
    const reader = new FieldReader(bytes);
    while (reader.pos < reader.len) {
      const first = bytes[reader.pos]!;
      // BinaryReader's own `tag` and `skip` allocate for each field, and an Envoy's node has several hundred.
      if (first < 0x80 && first >= 0x08 && (first & 7) === LENGTH_DELIMITED) {
        reader.pos += 1;
        if (!read(first >>> 3, LENGTH_DELIMITED, reader)) skipBytes(reader);
      } else {
        const [field, wireType] = reader.tag();
        if (!read(field, wireType, reader)) reader.skip(wireType, field);
      }
    }
  } catch (cause) {
    if (cause instanceof StatusError) throw cause;
    throw new StatusError(Status.INVALID_ARGUMENT, `the request is not a valid ${message}`, { cause });
  }
}

function skipBytes(reader: BinaryReader): void {
  const length = reader.uint32();
  reader.pos += length;
  if (reader.pos > reader.len) throw new RangeError('field extends past the end of its message');
}

/**
 * Decodes strings in place with Node's decoder; the base class makes an array for each, which is slow for thousands of
 * names.
 */
class FieldReader extends BinaryReader {
  readonly #buffer: Buffer;

  constructor(bytes: Uint8Array) {
    super(bytes);
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Invalid UTF-8 becomes U+FFFD. */
  override string(): string {
    const length = this.uint32();
    const start = this.pos;
    this.pos += length;
    if (this.pos > this.len) throw new RangeError('field extends past the end of its message');
    return this.#buffer.toString('utf8', start, this.pos);
  }
}

/**
 * Reads a string field. If the field equals `expected`, returns that without decoding.
 * @param bytes the bytes that the reader reads
 * @param expected ASCII
 */
export function readExpected(bytes: Uint8Array, reader: BinaryReader, expected: string): string {
  const start = reader.pos;
  if (reader.uint32() === expected.length && isAt(bytes, reader.pos, expected)) {
    reader.pos += expected.length;
    return expected;
  }
  reader.pos = start;
  return reader.string();
}

function isAt(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Maximum length of a string that is kept only for display, in bytes. */
const SHORT = 1_000;

/** Reads a string field for display: its first bytes. A substring would keep the whole string alive. */
export function readShort(reader: BinaryReader): string {
  const bytes = reader.bytes();
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, SHORT)).toString();
}
