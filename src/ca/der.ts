/**
 * DER, as far as certificates need it: a writer for everything that Sidekey signs, and a reader for the few fields that
 * node:crypto does not expose.
 *
 * @see ITU-T X.690 sections 8 and 10, RFC 5280 section 4.1.2.5 (dates)
 */

/** Encodes an element: tag, length in the shortest form, and the concatenated parts. */
export function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const lengthBytes = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : length < 0x1000000 ? 3 : 4;
  const out = Buffer.allocUnsafe(2 + lengthBytes + length);
  out[0] = tag;
  if (lengthBytes === 0) out[1] = length;
  else {
    out[1] = 0x80 | lengthBytes;
    out.writeUIntBE(length, 2, lengthBytes);
  }
  let at = 2 + lengthBytes;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => tlv(0x30, ...parts);
export const set = (...parts: readonly Uint8Array[]): Buffer => tlv(0x31, ...parts);
export const octetString = (bytes: Uint8Array): Buffer => tlv(0x04, bytes);
export const utf8String = (text: string): Buffer => tlv(0x0c, Buffer.from(text, 'utf8'));
export const printableString = (text: string): Buffer => tlv(0x13, Buffer.from(text, 'latin1'));

/** `unusedBits`: the number of low bits in the last byte that do not count. */
export const bitString = (bytes: Uint8Array, unusedBits = 0): Buffer => tlv(0x03, Uint8Array.of(unusedBits), bytes);

/** An explicit context tag: wraps whole elements. */
export const explicit = (tag: number, ...parts: readonly Uint8Array[]): Buffer => tlv(0xa0 | tag, ...parts);

/** An implicit context tag: replaces the tag of a primitive element. */
export const implicit = (tag: number, bytes: Uint8Array): Buffer => tlv(0x80 | tag, bytes);

export const TRUE: Buffer = Buffer.from([0x01, 0x01, 0xff]);
export const NULL: Buffer = Buffer.from([0x05, 0x00]);

/** A non-negative integer, big-endian, in the shortest form. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const magnitude = bytes.subarray(start);
  if (magnitude.length === 0) return tlv(0x02, Uint8Array.of(0));
  return magnitude[0]! >= 0x80 ? tlv(0x02, Uint8Array.of(0), magnitude) : tlv(0x02, magnitude);
}

/** Encodes an object identifier given in dotted form. */
export function oid(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first! * 40 + second!, ...rest]) {
    const septets = [arc % 0x80];
    for (let left = Math.floor(arc / 0x80); left > 0; left = Math.floor(left / 0x80))
      septets.unshift((left % 0x80) | 0x80);
    bytes.push(...septets);
  }
  return tlv(0x06, Buffer.from(bytes));
}

/**
 * Encodes an instant (milliseconds since the epoch, rounded down to a second): UTCTime until 2049, then
 * GeneralizedTime.
 */
export function timeElement(instant: number): Buffer {
  const iso = new Date(instant).toISOString();
  const at = (from: number) => iso.slice(from, from + 2);
  const text = `${at(2)}${at(5)}${at(8)}${at(11)}${at(14)}${at(17)}Z`;
  return iso < '2050' ? tlv(0x17, Buffer.from(text, 'latin1')) : tlv(0x18, Buffer.from(at(0) + text, 'latin1'));
}

export interface Element {
  readonly tag: number;
  readonly contents: Buffer;
  /** Tag, length and contents. */
  readonly whole: Buffer;
}

/** Splits `der` into its consecutive elements. @throws {RangeError} if one is truncated */
export function elements(der: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < der.length; ) {
    const first = der.readUInt8(at + 1);
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    const start = at + 2 + lengthBytes;
    const end = start + (lengthBytes === 0 ? first : der.readUIntBE(at + 2, lengthBytes));
    if (end > der.length) throw new RangeError('a DER element is truncated');
    found.push({ tag: der.readUInt8(at), contents: der.subarray(start, end), whole: der.subarray(at, end) });
    at = end;
  }
  return found;
}
