/**
 * Reads the headers that open a call.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Requests"
 */

import type { IncomingHttpHeaders } from 'node:http2';
import { type Method, Status, type StatusCode } from './types.ts';

/** What a call asks for. */
export interface RequestHead {
  readonly method: Method;
  /** How long the client will wait, in milliseconds; undefined: for ever, or longer than is worth a look. */
  readonly timeout: number | undefined;
}

/** Why there will be no call: who speaks no gRPC gets an HTTP status, others that of gRPC. */
export type Refusal =
  | { readonly httpStatus: number }
  | { readonly status: StatusCode; readonly details: string; readonly headers?: Readonly<Record<string, string>> };

/** Subtypes name how messages are encoded; of those only protobuf makes sense here. */
const CONTENT_TYPE = /^application\/grpc(\+proto)?($|[; ])/i;
/** Messages are taken as they are: no Envoy compresses its own, and a small one could be made to take long to read. */
const ENCODING = 'identity';
const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };
/** A client keeps its deadline itself: ours only spares work. */
const LONGEST_TIMEOUT_MS = 24 * 3_600_000;
/** Of what a client sends, so many characters are repeated to it. */
const MOST_QUOTED = 200;

/**
 * `te` is not asked for: it finds proxies that lose trailers, and there are none on a Unix socket. `:authority` may be
 * anything: clients put there what they like for a socket.
 */
export function readRequestHead(
  headers: IncomingHttpHeaders,
  methods: ReadonlyMap<string, Method>,
): RequestHead | Refusal {
  if (headers[':method'] !== 'POST') return { httpStatus: 405 };
  if (!CONTENT_TYPE.test(headers['content-type'] ?? '')) return { httpStatus: 415 };
  const path = headers[':path'] ?? '';
  const method = methods.get(path);
  if (method === undefined) {
    return { status: Status.UNIMPLEMENTED, details: `there is no method ${path.slice(0, MOST_QUOTED)} here` };
  }
  const encoding = one(headers['grpc-encoding']) ?? ENCODING;
  if (encoding !== ENCODING) {
    const details = `grpc-encoding ${JSON.stringify(encoding.slice(0, MOST_QUOTED))} is not supported; send messages uncompressed`;
    return { status: Status.UNIMPLEMENTED, details, headers: { 'grpc-accept-encoding': ENCODING } };
  }
  const timeout = one(headers['grpc-timeout']);
  if (timeout === undefined) return { method, timeout: undefined };
  const parts = TIMEOUT.exec(timeout);
  if (parts === null) {
    const details = `grpc-timeout is no number with a unit: ${JSON.stringify(timeout.slice(0, MOST_QUOTED))}`;
    return { status: Status.INTERNAL, details };
  }
  const milliseconds = Number(parts[1]) * UNIT_MS[parts[2]!]!;
  return { method, timeout: milliseconds <= LONGEST_TIMEOUT_MS ? milliseconds : undefined };
}

export function isRefusal(head: RequestHead | Refusal): head is Refusal {
  return !('method' in head);
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value;
}
