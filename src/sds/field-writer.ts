/**
 * Writes protobuf messages whose fields are all strings, bytes or messages. The caller computes lengths first, so
 * nested messages are written directly into one buffer; generated code copies them once per level.
 *
 * @see https://protobuf.dev/programming-guides/encoding/ "Length-Delimited Records"
 */

import { LENGTH_DELIMITED } from './fields.ts';

/** Length of a whole field in bytes, given that of its content. Valid for field numbers below 16. */
export function fieldLength(contentLength: number): number {
  let length = 2 + contentLength;
  for (let rest = contentLength >>> 7; rest > 0; rest >>>= 7) length += 1;
  return length;
}

export class FieldWriter {
  /** The buffer; its first bytes are written already. */
  readonly bytes: Buffer;
  #at = 0;

  /** @param bytes as long as the message; its old content is overwritten */
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Writes tag and length of a field with a number below 16; its content must follow. */
  head(number: number, contentLength: number): this {
    this.#byte((number << 3) | LENGTH_DELIMITED);
    let rest = contentLength;
    for (; rest >= 0x80; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80);
    this.#byte(rest);
    return this;
  }

  /** Writes bytes unchanged. */
  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  /** Writes a whole field. */
  field(number: number, content: Uint8Array): this {
    return this.head(number, content.length).raw(content);
  }

  /** Writes a whole field of long ASCII text. */
  longAscii(number: number, text: string): this {
    this.head(number, text.length);
    this.#at += this.bytes.write(text, this.#at, 'latin1');
    return this;
  }

  /** Writes a whole field of short ASCII text. A loop is faster here than a call of a native method. */
  ascii(number: number, text: string): this {
    this.head(number, text.length);
    for (let i = 0; i < text.length; i += 1) this.#byte(text.charCodeAt(i));
    return this;
  }

  #byte(value: number): void {
    this.bytes[this.#at] = value;
    this.#at += 1;
  }
}
