/**
 * The HTTP/2 streams under the calls, by their uid. grpc-js shows a call only when its request has come, and forgets it
 * with its status; the stream under it begins earlier, and ends only when the client wants it to. So a client could
 * hold any number of them, unseen.
 */

import diagnostics from 'node:diagnostics_channel';
import http2 from 'node:http2';
import type { Peer } from '../attest/types.ts';

/** Node tells of every server's streams there, before the server itself hears of them. */
const CREATED = 'http2.server.stream.created';

export interface Http2Streams {
  /** Looks at no more streams. */
  stop(): void;
}

/**
 * Closes each stream once its call has been answered, and streams beyond the limit of their uid.
 * @param peerOf the peer of a connection by its id, which is the socket's `remoteAddress`; undefined: not ours
 */
export function watchHttp2Streams(limitPerUid: number, peerOf: (id: string) => Peer | undefined): Http2Streams {
  const open = new Map<number, number>();

  function created(message: unknown): void {
    const { stream } = message as { readonly stream: http2.ServerHttp2Stream };
    const id = stream.session?.socket.remoteAddress;
    const peer = id === undefined ? undefined : peerOf(id);
    if (peer === undefined) return;
    const { uid } = peer.credentials;
    const count = (open.get(uid) ?? 0) + 1;
    open.set(uid, count);
    stream.once('close', () => closed(uid));
    stream.on('finish', finished);
    stream.on('wantTrailers', closeSoon);
    if (count > limitPerUid) setImmediate(refuse, stream);
  }

  function closed(uid: number): void {
    const left = open.get(uid)! - 1;
    if (left === 0) open.delete(uid);
    else open.set(uid, left);
  }

  diagnostics.subscribe(CREATED, created);
  return { stop: () => void diagnostics.unsubscribe(CREATED, created) };
}

/** A status without messages is in the headers, and nothing follows; after messages it is in trailers. */
function finished(this: http2.ServerHttp2Stream): void {
  if (this.sentHeaders?.['grpc-status'] !== undefined) closeSoon.call(this);
}

/** HTTP/2 sends trailers in the turn of the event loop after the one in which it wants them. */
function closeSoon(this: http2.ServerHttp2Stream): void {
  setImmediate(() => setImmediate(leave, this));
}

/**
 * The answer is complete: a client that has more to send is told to leave it. Where the end has not gone out, since the
 * client doesn't read, the stream stays: to close it now would lose the status. @see RFC 9113 section 8.1
 */
function leave(stream: http2.ServerHttp2Stream): void {
  if (isOpen(stream) && stream.state.localClose === 1) stream.close(http2.constants.NGHTTP2_NO_ERROR);
}

/** Whoever has been answered meanwhile, with a status that says more, needs no other. */
function refuse(stream: http2.ServerHttp2Stream): void {
  if (isOpen(stream) && !stream.headersSent) stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
}

function isOpen(stream: http2.ServerHttp2Stream): boolean {
  return !stream.destroyed && !stream.closed;
}
