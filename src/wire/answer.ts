/** Writes the answer of a call to its HTTP/2 stream and closes the stream. */

import http2, { type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { CallRefusal } from './request-head.ts';
import { statusHeaders } from './status.ts';

const OK_HEADERS: OutgoingHttpHeaders = { ':status': 200, 'content-type': 'application/grpc' };
/** The same headers as a list, which Node processes faster. */
const OK_LIST = Object.entries(OK_HEADERS).flatMap(([name, value]) => [name, String(value)]);

/** Sends the response headers. Call before the first message; {@link answer} then sends trailers. */
export function respond(stream: ServerHttp2Stream): void {
  // A copy, since Node appends a date to the list.
  stream.respond([...OK_LIST], { waitForTrailers: true });
}

/** Refuses a stream without making a call of it. */
export function refuse(stream: ServerHttp2Stream, refusal: CallRefusal): void {
  if (stream.closed) return;
  if ('httpStatus' in refusal) finish(stream, { ':status': refusal.httpStatus });
  else answer(stream, { ...statusHeaders(refusal.status, refusal.message, refusal.details), ...refusal.headers });
}

/** Sends the status: in trailers if headers were sent already, else in the only headers. */
export function answer(stream: ServerHttp2Stream, status: OutgoingHttpHeaders): void {
  if (!stream.headersSent) {
    finish(stream, { ...OK_HEADERS, ...status });
    return;
  }
  stream.once('wantTrailers', () => {
    stream.sendTrailers(status);
    closeSoon(stream);
  });
  stream.end();
  stream.resume();
}

function finish(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  stream.respond(headers, { endStream: true });
  // The stream ends only when it was read completely, so the remaining input is read and ignored.
  stream.resume();
  closeSoon(stream);
}

/** Waits two turns of the event loop, because HTTP/2 sends trailers in the turn after `wantTrailers`. */
function closeSoon(stream: ServerHttp2Stream): void {
  setImmediate(() => setImmediate(leave, stream));
}

/**
 * After a complete answer, tells a client that still sends to stop. If the answer has not gone out because the client
 * does not read, the stream stays open, since closing it would lose the status. @see RFC 9113 section 8.1
 */
function leave(stream: ServerHttp2Stream): void {
  if (stream.closed || stream.state.localClose !== 1) return;
  stream.close(http2.constants.NGHTTP2_NO_ERROR);
}
