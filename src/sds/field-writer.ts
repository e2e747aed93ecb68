/**
 * Writes protobuf messages whose fields all are strings, bytes or messages: each is a head, and then what is in it. With
 * the lengths known before, a message of messages is written in one go; generated code copies what is within once for each
 * message around it.
 *
 * @see https://protobuf.dev/programming-guides/encoding/ "Length-Delimited Records"
 */

import { type Bytes, putBytes } from '../base/bytes.ts';
import { LENGTH_DELIMITED } from './fields.ts';

/** How long a field of a number below 16 is whose content is that long, in bytes. */
export function fieldLength(contentLength: number): number {
  let length = 2 + contentLength;
  for (let rest = contentLength >>> 7; rest > 0; rest >>>= 7) length += 1;
  return length;
}

export class FieldWriter {
  /** What has been written, and room for the rest. */
  readonly bytes: Buffer;
  #at = 0;

  /** @param bytes as many as will be written, of whatever content */
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** The head of a field of a number below 16, whose content of that length follows. */
  head(number: number, contentLength: number): this {
    this.#byte((number << 3) | LENGTH_DELIMITED);
    let rest = contentLength;
    for (; rest >= 0x80; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80);
    this.#byte(rest);
    return this;
  }

  /** Bytes as they are. */
  raw(bytes: Bytes): this {
    putBytes(bytes, this.bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  /** A whole field. */
  field(number: number, content: Bytes): this {
    return this.head(number, content.length).raw(content);
  }

  /** The same of a few characters of ASCII: the call of a native method costs more than they do. */
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
