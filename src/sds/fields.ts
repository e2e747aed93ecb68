/** Reads protobuf messages in part: field by field, without making objects of what nobody looks at. */

import { BinaryReader } from '@bufbuild/protobuf/wire';
import { Status, StatusError } from '../wire/types.ts';

/** The wire type of strings, bytes and messages. */
export const LENGTH_DELIMITED = 2;

/**
 * Calls `read` for each field; a field that it returns false for is skipped.
 * @throws StatusError INVALID_ARGUMENT when the bytes are not of this message
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
      // The reader's own ways make objects, of each of the several hundred fields of a real Envoy's node.
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
    throw new StatusError(Status.INVALID_ARGUMENT, `the request is no valid ${message}`, { cause });
  }
}

function skipBytes(reader: BinaryReader): void {
  const length = reader.uint32();
  reader.pos += length;
  if (reader.pos > reader.len) throw new RangeError('a field ends after its message');
}

/**
 * Decodes texts where they are, by Node: the parent's way makes an array of each, which for thousands of names takes more
 * than twice the time, and more of the garbage collector's.
 */
class FieldReader extends BinaryReader {
  readonly #buffer: Buffer;

  constructor(bytes: Uint8Array) {
    super(bytes);
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Bytes that are no UTF-8 become U+FFFD. */
  override string(): string {
    const length = this.uint32();
    const start = this.pos;
    this.pos += length;
    if (this.pos > this.len) throw new RangeError('a field ends after its message');
    return this.#buffer.toString('utf8', start, this.pos);
  }
}

/**
 * A string field that as a rule is the one that is expected, which then is given back: nothing is decoded.
 * @param bytes those that are read
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

/** Of a text that is kept for people to see, so many bytes are. */
const SHORT = 1_000;

/** A string field that is kept for people to see: its beginning. A part of the whole string would keep all of it alive. */
export function readShort(reader: BinaryReader): string {
  const bytes = reader.bytes();
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, SHORT)).toString();
}
