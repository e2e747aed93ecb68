/**
 * Reads the metadata of a request from its headers. HTTP/2 limits their number and size (`SESSION_OPTIONS` in `wire.ts`).
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Custom-Metadata"
 */

import { type Metadata, Status, StatusError } from './types.ts';

/** Names that end with it have binary values. */
const BINARY = '-bin';
/** Headers of the protocol whose names do not begin with `:` or `grpc-`. */
const PROTOCOL_HEADERS: ReadonlySet<string> = new Set(['content-type', 'te', 'user-agent']);
/** Printable ASCII. */
const TEXT = /^[ -~]*$/;
/** Base64 with or without padding. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export class RequestMetadata implements Metadata {
  /** Names and values in turn, as node:http2 gives them: names in lower case, a name as often as it was sent. */
  readonly #headers: readonly string[];

  readonly size: number;

  constructor(headers: readonly string[], size = headersSize(headers)) {
    this.#headers = headers;
    this.size = size;
  }

  names(): string[] {
    const names = this.#headers.filter((name, i) => i % 2 === 0 && isCustom(name));
    return [...new Set(names)];
  }

  texts(name: string): string[] {
    if (name.endsWith(BINARY)) throw new TypeError(`${name} has binary values`);
    return this.#values(name).map((value) => {
      if (!TEXT.test(value)) throw malformed(name, 'is not printable ASCII');
      return value.trim();
    });
  }

  /** A comma separates values too. */
  bytes(name: string): Buffer[] {
    if (!name.endsWith(BINARY)) throw new TypeError(`${name} has text values`);
    const values = this.#values(name).flatMap((value) => value.split(','));
    return values.map((value) => decode(name, value.trim()));
  }

  #values(name: string): string[] {
    if (!isCustom(name)) return [];
    return this.#headers.filter((_, i) => i % 2 === 1 && this.#headers[i - 1] === name);
  }
}

/** HTTP/2 counts this many bytes more for each header. @see RFC 9113 section 6.5.2 */
const HEADER_OVERHEAD = 32;

/** The size of headers, names and values in turn, in bytes as HTTP/2 counts them. */
export function headersSize(headers: readonly string[]): number {
  let size = (headers.length / 2) * HEADER_OVERHEAD;
  for (const text of headers) size += text.length;
  return size;
}

function isCustom(name: string): boolean {
  return !name.startsWith(':') && !name.startsWith('grpc-') && !PROTOCOL_HEADERS.has(name);
}

function decode(name: string, value: string): Buffer {
  const digits = value.replace(/=+$/, '').length;
  const isPadded = digits < value.length;
  if (!BASE64.test(value) || digits % 4 === 1 || (isPadded && value.length % 4 !== 0)) {
    throw malformed(name, 'is not base64');
  }
  return Buffer.from(value, 'base64');
}

function malformed(name: string, problem: string): StatusError {
  return new StatusError(Status.INTERNAL, `the value of the metadata ${JSON.stringify(name)} ${problem}`);
}
