/**
 * Reads the headers that open a call.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Requests"
 */

import type { IncomingHttpHeaders } from 'node:http2';
import { headersSize, RequestMetadata } from './metadata.ts';
import { type Metadata, type Method, Status, type StatusCode, type StatusDetail, type WirePeer } from './types.ts';

/** The method, the metadata and the options of a call. */
export interface RequestHead<P extends WirePeer> {
  readonly method: Method<P>;
  readonly metadata: Metadata;
  /**
   * The size of the headers that node:http2 keeps while the stream is open, in bytes: `:scheme`, and `:authority` or
   * `host`.
   */
  readonly keptBytes: number;
  /** The client's timeout, in milliseconds; undefined: none, or longer than a day. */
  readonly timeout: number | undefined;
}

/** Why a call is refused. A client that does not speak gRPC gets an HTTP status, any other a gRPC status. */
export type CallRefusal =
  | { readonly httpStatus: number }
  | {
      readonly status: StatusCode;
      readonly message: string;
      readonly details?: readonly StatusDetail[];
      readonly headers?: Readonly<Record<string, string>>;
    };

/** A suffix names the encoding of messages; only protobuf is supported. */
const CONTENT_TYPE = /^application\/grpc(\+proto)?($|[; ])/i;
/** Compression is not supported: Envoy does not use it, and a small message could expand to a huge one. */
const ENCODING = 'identity';
const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };
/** Clients enforce their deadlines themselves; longer timeouts are not worth a timer. */
const LONGEST_TIMEOUT_MS = 24 * 3_600_000;
/** Maximum size of the headers of a request, in bytes as HTTP/2 counts them. */
export const MAX_HEADER_BYTES = 16 * 1024;
/** Maximum length of client text that is repeated in an error message, in characters. */
const MOST_QUOTED = 200;

/**
 * Reads the headers of a call. `te` is not checked: it detects proxies that drop trailers, which do not exist on a Unix
 * socket. `:authority` is not checked: for a Unix socket clients set it arbitrarily.
 *
 * @param rawHeaders the same headers as names and values in turn, each as often as it was sent
 */
export function readRequestHead<P extends WirePeer>(
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  methods: ReadonlyMap<string, Method<P>>,
): RequestHead<P> | CallRefusal {
  if (headers[':method'] !== 'POST') return { httpStatus: 405 };
  if (!CONTENT_TYPE.test(headers['content-type'] ?? '')) return { httpStatus: 415 };
  // Node applies the limit that the server announces only once the client has confirmed it.
  const size = headersSize(rawHeaders);
  if (size > MAX_HEADER_BYTES) {
    const message = `the headers of the request exceed the limit of ${MAX_HEADER_BYTES} bytes`;
    return { status: Status.RESOURCE_EXHAUSTED, message };
  }
  const path = headers[':path'] ?? '';
  const method = methods.get(path);
  if (method === undefined) {
    return { status: Status.UNIMPLEMENTED, message: `unknown method ${path.slice(0, MOST_QUOTED)}` };
  }
  const encoding = one(headers['grpc-encoding']) ?? ENCODING;
  if (encoding !== ENCODING) {
    const message = `grpc-encoding ${JSON.stringify(encoding.slice(0, MOST_QUOTED))} is not supported; send messages uncompressed`;
    return { status: Status.UNIMPLEMENTED, message, headers: { 'grpc-accept-encoding': ENCODING } };
  }
  const timeout = one(headers['grpc-timeout']);
  const metadata = new RequestMetadata(rawHeaders, size);
  const keptBytes = (headers[':scheme'] ?? '').length + (headers[':authority'] ?? headers.host ?? '').length;
  if (timeout === undefined) return { method, metadata, keptBytes, timeout: undefined };
  const parts = TIMEOUT.exec(timeout);
  if (parts === null) {
    const message = `grpc-timeout is not a number with a unit: ${JSON.stringify(timeout.slice(0, MOST_QUOTED))}`;
    return { status: Status.INTERNAL, message };
  }
  const milliseconds = Number(parts[1]) * UNIT_MS[parts[2]!]!;
  return { method, metadata, keptBytes, timeout: milliseconds <= LONGEST_TIMEOUT_MS ? milliseconds : undefined };
}

export function isRefusal<P extends WirePeer>(head: RequestHead<P> | CallRefusal): head is CallRefusal {
  return !('method' in head);
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value;
}
