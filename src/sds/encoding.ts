/**
 * Writes protobuf messages that are nothing but strings, bytes and messages in each other. The generated code would take
 * longer to put a secret's few kilobytes together than OpenSSL to make its key.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */

const LENGTH_DELIMITED = 2;

/** One field that holds these bytes, one after the other; a message's bytes are its fields'. */
export function field(number: number, ...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const tag = (number << 3) | LENGTH_DELIMITED;
  const bytes = Buffer.allocUnsafeSlow(sizeOf(tag) + sizeOf(length) + length);
  let at = writeVarint(bytes, 0, tag);
  at = writeVarint(bytes, at, length);
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function textField(number: number, text: string): Buffer {
  return field(number, Buffer.from(text));
}

function sizeOf(value: number): number {
  let size = 1;
  for (let left = value >>> 7; left > 0; left >>>= 7) size += 1;
  return size;
}

function writeVarint(bytes: Buffer, at: number, value: number): number {
  let left = value;
  let end = at;
  for (; left >= 0x80; left >>>= 7) {
    bytes[end] = (left & 0x7f) | 0x80;
    end += 1;
  }
  bytes[end] = left;
  return end + 1;
}
