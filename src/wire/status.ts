/** The status of a call: which errors the client may see, and the headers that carry the status. */

import type { OutgoingHttpHeaders } from 'node:http2';
import { LimitError } from '../limits/limit-error.ts';
import type { Log } from '../telemetry/log.ts';
import { Status, type StatusCode, StatusError } from './types.ts';

/** Converts an error to a status. The client sees StatusErrors and LimitErrors; any other error is only logged. */
export function statusOf(error: unknown, path: string, caller: { readonly log: Log }): StatusError {
  if (error instanceof StatusError) return error;
  if (error instanceof LimitError) return new StatusError(Status.RESOURCE_EXHAUSTED, error.message, { cause: error });
  caller.log.error({ err: error, method: path }, 'call handler failed');
  return new StatusError(Status.INTERNAL, 'Sidekey failed; its log has the reason');
}

export function statusHeaders(status: StatusCode, details: string): OutgoingHttpHeaders {
  if (details === '') return { 'grpc-status': String(status) };
  return { 'grpc-status': String(status), 'grpc-message': percentEncode(details) };
}

/**
 * Encodes `%` and everything but printable ASCII, and spaces at the ends, which header values may not have.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Percent-Encoded"
 */
export function percentEncode(text: string): string {
  return text.toWellFormed().replace(/^ | $|[^ -$&-~]+/g, encodeURIComponent);
}
