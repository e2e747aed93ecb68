/** How a call ends: what of an error the client may know, and the headers that say so. */

import type { OutgoingHttpHeaders } from 'node:http2';
import { LimitError } from '../limits/limit-error.ts';
import type { Log } from '../telemetry/log.ts';
import { Status, type StatusCode, StatusError } from './types.ts';

/** A StatusError as it is; of anything else the client learns nothing, that is for the log. */
export function statusOf(error: unknown, path: string, caller: { readonly log: Log }): StatusError {
  if (error instanceof StatusError) return error;
  if (error instanceof LimitError) return new StatusError(Status.RESOURCE_EXHAUSTED, error.message, { cause: error });
  caller.log.error({ err: error, method: path }, 'handler of a call failed');
  return new StatusError(Status.INTERNAL, 'Sidekey failed; its log has the reason');
}

export function statusHeaders(status: StatusCode, details: string): OutgoingHttpHeaders {
  if (details === '') return { 'grpc-status': String(status) };
  return { 'grpc-status': String(status), 'grpc-message': percentEncode(details) };
}

/**
 * Anything but printable ASCII, and `%`; blanks at the ends too, which a header may not have.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Percent-Encoded"
 */
export function percentEncode(text: string): string {
  return text.toWellFormed().replace(/^ | $|[^ -$&-~]+/g, encodeURIComponent);
}
