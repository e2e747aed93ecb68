/** How an HTTP/2 stream is answered, and left. */

import http2, { type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Refusal } from './request-head.ts';
import { statusHeaders } from './status.ts';

const OK_HEADERS: OutgoingHttpHeaders = { ':status': 200, 'content-type': 'application/grpc' };
/** The same as a list, which Node takes in less time. */
const OK_LIST = Object.entries(OK_HEADERS).flatMap(([name, value]) => [name, String(value)]);

/** To call before messages are written: {@link answer} follows them. */
export function respond(stream: ServerHttp2Stream): void {
  // Node adds a date to the list that it is given.
  stream.respond([...OK_LIST], { waitForTrailers: true });
}

/** Says that there will be no call. */
export function refuse(stream: ServerHttp2Stream, refusal: Refusal): void {
  if (stream.closed) return;
  if ('httpStatus' in refusal) finish(stream, { ':status': refusal.httpStatus });
  else answer(stream, { ...statusHeaders(refusal.status, refusal.details), ...refusal.headers });
}

/** The status: in the headers where nothing was sent before it, else in the trailers. */
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
  // What still comes is not for anybody, but the stream ends only when it was read.
  stream.resume();
  closeSoon(stream);
}

/** HTTP/2 sends trailers in the turn of the event loop after the one in which it wants them. */
function closeSoon(stream: ServerHttp2Stream): void {
  setImmediate(() => setImmediate(leave, stream));
}

/**
 * The answer is complete: a client that has more to send is told to leave it. Where the end has not gone out, since the
 * client doesn't read, the stream stays: to close it now would lose the status. @see RFC 9113 section 8.1
 */
function leave(stream: ServerHttp2Stream): void {
  if (stream.closed || stream.state.localClose !== 1) return;
  stream.close(http2.constants.NGHTTP2_NO_ERROR);
}
