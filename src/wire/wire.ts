/** The gRPC server. It uses `node:http2` directly, so that each call has the peer of its connection. */

import type http2 from 'node:http2';
import type net from 'node:net';
import type { Peer } from '../attest/index.ts';
import type { Clock } from '../base/index.ts';
import type { MemoryBudget, Quota, Reader, Turns } from '../limits/index.ts';
import type { Log } from '../telemetry/index.ts';
import { Connection, type ConnectionParts } from './connection.ts';
import { MessageBuffers } from './message-buffers.ts';
import { MAX_HEADER_BYTES } from './request-head.ts';
import { openTransport } from './transport.ts';
import type { Method, WirePeer } from './types.ts';

export interface WireOptions<P extends WirePeer = Peer> {
  readonly methods: readonly Method<P>[];
  readonly clock: Clock;
  readonly log: Log;
  readonly quota: Quota;
  readonly memory: MemoryBudget;
  readonly turns: Turns;
  /** Limits of each connection; by default those of the pipe. */
  readonly sessions?: SessionLimits;
}

export interface SessionLimits {
  /** In MB. */
  readonly memory: number;
  /** Maximum number of calls at once that clients are told of. */
  readonly streams: number;
}

export interface Wire<P extends WirePeer = Peer> {
  /**
   * Serves an accepted connection. Call in the tick in which it was accepted.
   * @param reading pauses and resumes reading from the socket
   */
  inject(socket: net.Socket, peer: P, reading: Reader): void;
  /** Tells the client to open no more calls on its connection, and closes that when its calls have ended. */
  retire(peer: P): void;
  /** The number of open streams. */
  readonly streamCount: number;
  /**
   * Ends all calls with UNAVAILABLE, waits until the clients have closed their connections, and after `graceMs` closes
   * the rest. The listener must have stopped accepting before.
   */
  close(graceMs: number): Promise<void>;
}

/**
 * Node's defaults except for these. The defaults limit headers (128 a request), unanswered PINGs and SETTINGS (10), and
 * rapid resets.
 */
const SESSION_OPTIONS: http2.ServerSessionOptions = {
  settings: { maxHeaderListSize: MAX_HEADER_BYTES },
  /** In MB, for each connection: enough for 20,000 streams and their unsent data; Node's default of 10 is too small. */
  maxSessionMemory: 200,
  /**
   * Limits requests with invalid headers: node:http2 opens and closes a stream for each without telling the server, so
   * no owner is charged. Node's default of 1,000 would block the event loop for too long.
   */
  maxSessionInvalidFrames: 10,
};

function limitedTo({ memory, streams }: SessionLimits): http2.ServerSessionOptions {
  const settings = { ...SESSION_OPTIONS.settings, maxConcurrentStreams: streams };
  return { ...SESSION_OPTIONS, settings, maxSessionMemory: memory };
}

/** Maximum time for the first bytes of a client, in milliseconds. */
const FIRST_BYTES_MS = 20_000;

export function createWire<P extends WirePeer = Peer>(options: WireOptions<P>): Wire<P> {
  const { clock, log, sessions } = options;
  const parts: ConnectionParts<P> = {
    methods: new Map(options.methods.map((method) => [method.path, method])),
    quota: options.quota,
    memory: options.memory,
    turns: options.turns,
    buffers: new MessageBuffers(),
    clock,
    log,
    sessionOptions: sessions === undefined ? SESSION_OPTIONS : limitedTo(sessions),
  };
  /** Clients whose first bytes have not arrived. */
  const opening = new Set<P>();
  const connections = new Set<Connection<P>>();
  const allClosed = Promise.withResolvers<void>();
  let closing: Promise<void> | undefined;

  return {
    inject(socket, peer, reading) {
      if (closing !== undefined) return peer.close();
      opening.add(peer);
      const opened = () => {
        opening.delete(peer);
        silent.cancel();
      };
      const silent = clock.after(FIRST_BYTES_MS, () => peer.close());
      socket.once('close', opened);
      openTransport(socket, (transport) => {
        opened();
        const connection = new Connection(socket, transport, peer, reading, parts);
        connections.add(connection);
        socket.once('close', () => {
          connections.delete(connection);
          if (connections.size === 0 && closing !== undefined) allClosed.resolve();
        });
      });
    },
    retire(peer) {
      for (const connection of connections) if (connection.peer === peer) connection.retire();
      if (opening.has(peer)) peer.close();
    },
    get streamCount() {
      let count = 0;
      for (const connection of connections) count += connection.streamCount;
      return count;
    },
    close(graceMs) {
      closing ??= shutDown(graceMs);
      return closing;
    },
  };

  async function shutDown(graceMs: number): Promise<void> {
    for (const peer of opening) peer.close();
    if (connections.size === 0) allClosed.resolve();
    for (const connection of connections) connection.close('Sidekey is shutting down');
    const deadline = clock.after(graceMs, allClosed.resolve);
    await allClosed.promise;
    deadline.cancel();
    for (const connection of connections) connection.peer.close();
  }
}
