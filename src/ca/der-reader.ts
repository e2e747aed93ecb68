/**
 * A strict DER reader: each element must have the expected tag and a length in the shortest form, and no bytes may
 * remain. It shares no code with the writer in der.ts, so that each detects the other's mistakes.
 *
 * @see ITU-T X.690 sections 8 and 10
 */

/** Tag bytes. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
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

  /** The contents of the next element. @throws {RangeError} if its tag is another one or its length is invalid */
  contents(tag: number): Buffer {
    const from = this.#pass(tag);
    return this.#bytes.subarray(from, this.#at);
  }

  /** Skips the next element, which must have this tag and the contents `expected`. @throws {RangeError} otherwise */
  demand(tag: number, expected: Uint8Array): void {
    const from = this.#pass(tag);
    let same = this.#at - from === expected.length;
    for (let i = 0; same && i < expected.length; i += 1) same = this.#bytes[from + i] === expected[i];
    if (!same) throw new RangeError(`the element with tag ${tag} has unexpected contents`);
  }

  /** The contents of the next element as a number of at most six bytes. */
  number(tag: number): number {
    const from = this.#pass(tag);
    if (this.#at - from > 6) throw new RangeError(`the element with tag ${tag} is longer than six bytes`);
    let value = 0;
    for (let at = from; at < this.#at; at += 1) value = value * 0x100 + this.#bytes[at]!;
    return value;
  }

  /** The contents of the next element in lower-case hex. */
  hex(tag: number): string {
    const from = this.#pass(tag);
    return this.#bytes.toString('hex', from, this.#at);
  }

  /** The contents of the next element as Latin-1 text. */
  text(tag: number): string {
    const from = this.#pass(tag);
    return this.#bytes.toString('latin1', from, this.#at);
  }

  /** The next element, including tag and length. */
  whole(tag: number): Buffer {
    const from = this.#at;
    this.#pass(tag);
    return this.#bytes.subarray(from, this.#at);
  }

  /** Reads the contents of the next element with `read`, which must use all of them. */
  inside<T>(tag: number, read: (contents: DerReader) => T): T {
    const from = this.#pass(tag);
    const contents = new DerReader(this.#bytes, from, this.#at);
    const result = read(contents);
    contents.end();
    return result;
  }

  /** @throws {RangeError} if bytes remain */
  end(): void {
    if (this.#at !== this.#end) throw new RangeError('an element has surplus contents');
  }

  /** Skips the next element and returns where its contents begin. */
  #pass(tag: number): number {
    if (this.tag !== tag) throw new RangeError(`an element has tag ${this.tag ?? 'none'}, not ${tag}`);
    let length = this.#byte(this.#at + 1);
    let from = this.#at + 2;
    if (length >= 0x80) {
      const lengthBytes = length & 0x7f;
      // Certificates have no longer elements.
      if (lengthBytes === 0 || lengthBytes > 3) throw new RangeError('an element has an unsupported length');
      length = 0;
      for (const end = from + lengthBytes; from < end; from += 1) length = length * 0x100 + this.#byte(from);
      if (length < 0x80 || length < 0x100 ** (lengthBytes - 1)) {
        throw new RangeError('the length of an element is not in the shortest form');
      }
    }
    if (from + length > this.#end) throw new RangeError('an element is truncated');
    this.#at = from + length;
    return from;
  }

  #byte(at: number): number {
    if (at >= this.#end) throw new RangeError('an element is truncated');
    return this.#bytes[at]!;
  }
}
