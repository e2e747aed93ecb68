/**
 * A strict reader of DER: each element has the tag that is expected of it and a length in its shortest form, and
 * nothing is left over. It shares nothing with the writer in der.ts, so that what one gets wrong the other refuses.
 *
 * @see ITU-T X.690 sections 8 and 10
 */

/** Tags, as they stand in the bytes. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

export class DerReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, at = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** The tag of the next element; undefined at the end. */
  get tag(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined;
  }

  /** The contents of the next element. @throws {RangeError} if it has another tag or a length that is wrong */
  contents(tag: number): Buffer {
    const from = this.#pass(tag);
    return this.#bytes.subarray(from, this.#at);
  }

  /** Passes over the next element if it is this, and throws if it is not. `expected`: its contents. */
  demand(tag: number, expected: Uint8Array): void {
    const from = this.#pass(tag);
    let same = this.#at - from === expected.length;
    for (let i = 0; same && i < expected.length; i += 1) same = this.#bytes[from + i] === expected[i];
    if (!same) throw new RangeError(`an element with the tag ${tag} is not the one that belongs there`);
  }

  /** The contents of the next element as one number, of six bytes at most. */
  number(tag: number): number {
    const from = this.#pass(tag);
    if (this.#at - from > 6) throw new RangeError(`an element with the tag ${tag} is too long`);
    let value = 0;
    for (let at = from; at < this.#at; at += 1) value = value * 0x100 + this.#bytes[at]!;
    return value;
  }

  /** The contents of the next element in lower-case hex. */
  hex(tag: number): string {
    const from = this.#pass(tag);
    return this.#bytes.toString('hex', from, this.#at);
  }

  /** The same as characters of one byte each. */
  text(tag: number): string {
    const from = this.#pass(tag);
    return this.#bytes.toString('latin1', from, this.#at);
  }

  /** The next element with its tag and length. */
  whole(tag: number): Buffer {
    const from = this.#at;
    this.#pass(tag);
    return this.#bytes.subarray(from, this.#at);
  }

  /** Reads what stands inside the next element with `read`, which must leave nothing. */
  inside<T>(tag: number, read: (contents: DerReader) => T): T {
    const from = this.#pass(tag);
    const contents = new DerReader(this.#bytes, from, this.#at);
    const result = read(contents);
    contents.end();
    return result;
  }

  /** @throws {RangeError} if something is left */
  end(): void {
    if (this.#at !== this.#end) throw new RangeError('an element has more in it than it should');
  }

  /** Goes behind the next element and returns where its contents begin. */
  #pass(tag: number): number {
    if (this.tag !== tag) throw new RangeError(`an element has the tag ${this.tag ?? 'of none'}, not ${tag}`);
    let length = this.#byte(this.#at + 1);
    let from = this.#at + 2;
    if (length >= 0x80) {
      const lengthBytes = length & 0x7f;
      // Longer ones are for what no certificate holds.
      if (lengthBytes === 0 || lengthBytes > 3) throw new RangeError('an element has a length that is not taken');
      length = 0;
      for (const end = from + lengthBytes; from < end; from += 1) length = length * 0x100 + this.#byte(from);
      if (length < 0x80 || length < 0x100 ** (lengthBytes - 1)) {
        throw new RangeError('an element has a length in more bytes than it needs');
      }
    }
    if (from + length > this.#end) throw new RangeError('an element is cut short');
    this.#at = from + length;
    return from;
  }

  #byte(at: number): number {
    if (at >= this.#end) throw new RangeError('an element is cut short');
    return this.#bytes[at]!;
  }
}
