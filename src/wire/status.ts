/** The status of a call: which errors the client may see, and the headers that carry the status. */

import type { OutgoingHttpHeaders } from 'node:http2';
import { Status as RpcStatus } from '../gen/google/rpc/status.ts';
import { LimitError } from '../limits/index.ts';
import type { Log } from '../telemetry/index.ts';
import { Status, type StatusCode, type StatusDetail, StatusError } from './types.ts';

/**
 * Maximum length of an encoded message, in bytes. With {@link MAX_DETAILS_BYTES} a status stays below 8 KiB, the smallest
 * limit on headers among common clients (gRPC's C core, so Python); they would see no status at all.
 */
export const MAX_STATUS_MESSAGE_BYTES = 2 * 1024;
/** Maximum length of a message with its details, as a google.rpc.Status, in bytes. */
export const MAX_DETAILS_BYTES = 4 * 1024;
/** How much of the end of a message that is too long is kept, in bytes: the end names the record of the reason. */
const KEPT_END_BYTES = 512;
const GAP = '…';

/** Converts an error to a status. The client sees StatusErrors and LimitErrors; any other error is only logged. */
export function statusOf(error: unknown, path: string, caller: { readonly log: Log }): StatusError {
  if (error instanceof StatusError) return error;
  if (error instanceof LimitError) return new StatusError(Status.RESOURCE_EXHAUSTED, error.message, { cause: error });
  caller.log.error({ err: error, method: path }, 'call handler failed');
  return new StatusError(Status.INTERNAL, 'Sidekey failed; its log has the reason');
}

/**
 * The headers of a status. A message that is too long loses its middle; details that do not fit are left out, the last ones
 * first.
 */
export function statusHeaders(
  code: StatusCode,
  message: string,
  details: readonly StatusDetail[] = [],
): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { 'grpc-status': String(code) };
  if (message === '' && details.length === 0) return headers;
  const short = shorten(message);
  if (short !== '') headers['grpc-message'] = percentEncode(short);
  const encoded = encodeDetails(code, short, details);
  if (encoded !== undefined) headers['grpc-status-details-bin'] = encoded;
  return headers;
}

/** A google.rpc.Status in base64 without padding; undefined without details. */
function encodeDetails(code: StatusCode, message: string, details: readonly StatusDetail[]): string | undefined {
  for (let count = details.length; count > 0; count -= 1) {
    const status = RpcStatus.encode({ code, message, details: details.slice(0, count).map(asAny) }).finish();
    if (status.length <= MAX_DETAILS_BYTES) return Buffer.from(status).toString('base64').replace(/=+$/, '');
  }
  return undefined;
}

function asAny({ typeUrl, value }: StatusDetail): { typeUrl: string; value: Buffer } {
  return { typeUrl, value: Buffer.from(value) };
}

/** Leaves out the middle of a text whose encoding would be longer than {@link MAX_STATUS_MESSAGE_BYTES}. */
function shorten(text: string): string {
  // What is cut off here could not be kept: each character takes a byte or more.
  const [first, last] = [text.slice(0, MAX_STATUS_MESSAGE_BYTES), text.slice(-MAX_STATUS_MESSAGE_BYTES)];
  if (text.length <= MAX_STATUS_MESSAGE_BYTES && percentEncode(text).length <= MAX_STATUS_MESSAGE_BYTES) return text;
  const forEnds = MAX_STATUS_MESSAGE_BYTES - percentEncode(GAP).length;
  const head = fitting([...first], forEnds - KEPT_END_BYTES);
  const tail = fitting([...last].reverse(), KEPT_END_BYTES).reverse();
  return `${head.join('')}${GAP}${tail.join('')}`;
}

/** As many of the first characters as fit into `limit` encoded bytes. */
function fitting(characters: readonly string[], limit: number): string[] {
  let left = limit;
  const end = characters.findIndex((character) => {
    left -= percentEncode(character).length;
    return left < 0;
  });
  return characters.slice(0, end === -1 ? characters.length : end);
}

/**
 * Encodes `%` and everything but printable ASCII, and spaces at the ends, which header values may not have.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Percent-Encoded"
 */
export function percentEncode(text: string): string {
  return text.toWellFormed().replace(/^ | $|[^ -$&-~]+/g, encodeURIComponent);
}
