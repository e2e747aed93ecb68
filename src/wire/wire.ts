/** The wire: a gRPC server of our own on `node:http2`, so that each call is tied to the peer behind its connection. */

import type http2 from 'node:http2';
import type net from 'node:net';
import type { Peer } from '../attest/types.ts';
import type { Clock } from '../base/clock.ts';
import type { MemoryBudget } from '../limits/memory.ts';
import type { Quota } from '../limits/quota.ts';
import type { Turns } from '../limits/turns.ts';
import type { Log } from '../telemetry/log.ts';
import { Connection, type ConnectionParts } from './connection.ts';
import { MessageBuffers } from './message-buffers.ts';
import type { Method } from './types.ts';

export interface WireOptions {
  readonly methods: readonly Method[];
  readonly clock: Clock;
  readonly log: Log;
  readonly quota: Quota;
  readonly memory: MemoryBudget;
  readonly turns: Turns;
}

export interface Wire {
  /** Takes over a connection of the pipe, in the tick in which it was accepted. */
  inject(socket: net.Socket, peer: Peer): void;
  /** Streams that are open now. */
  readonly streamCount: number;
  /**
   * Ends every call with UNAVAILABLE, lets the clients read that and hang up, and cuts those that have not after
   * `graceMs`. The listener must have stopped accepting before.
   */
  close(graceMs: number): Promise<void>;
}

/** Node's defaults but for these: at most 128 headers a request, 10 pings and settings without an answer, rapid resets. */
const SESSION_OPTIONS: http2.ServerSessionOptions = {
  settings: { maxHeaderListSize: 16 * 1024 },
  /** In MB, of one connection: for 20,000 streams and what is to be sent on them. Node's 10 are enough for a tenth. */
  maxSessionMemory: 200,
  /** Headers that break the rules: node:http2 opens and closes a stream for each, which nobody is charged for. Node's 1,000 cost 100 ms. */
  maxSessionInvalidFrames: 10,
};

export function createWire(options: WireOptions): Wire {
  const { clock, log } = options;
  const parts: ConnectionParts = {
    methods: new Map(options.methods.map((method) => [method.path, method])),
    quota: options.quota,
    memory: options.memory,
    turns: options.turns,
    buffers: new MessageBuffers(),
    clock,
    log,
    sessionOptions: SESSION_OPTIONS,
  };
  const connections = new Set<Connection>();
  const allClosed = Promise.withResolvers<void>();
  let closing: Promise<void> | undefined;

  return {
    inject(socket, peer) {
      if (closing !== undefined) return peer.close();
      const connection = new Connection(socket, peer, parts);
      connections.add(connection);
      socket.once('close', () => {
        connections.delete(connection);
        if (connections.size === 0 && closing !== undefined) allClosed.resolve();
      });
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
    if (connections.size === 0) allClosed.resolve();
    for (const connection of connections) connection.close('Sidekey is shutting down');
    const deadline = clock.after(graceMs, allClosed.resolve);
    await allClosed.promise;
    deadline.cancel();
    for (const connection of connections) connection.peer.close();
  }
}
