/**
 * The wire, on grpc-js: connections come in by injection, so that each call can be tied to the peer behind it.
 *
 * grpc-js shows a handler nothing of the connection but `getPeer()`, which is the socket's `remoteAddress`. A Unix
 * socket has none, so it is given the peer's id there; a test pins that this works.
 */

import type net from 'node:net';
import * as grpc from '@grpc/grpc-js';
import type { Peer } from '../attest/types.ts';
import type { Clock } from '../base/clock.ts';
import { Counters } from '../telemetry/counters.ts';
import type { Log } from '../telemetry/log.ts';
import { type Caller, serveStream, serveUnary } from './calls.ts';
import { Connection } from './connection.ts';
import { watchHttp2Streams } from './http2-streams.ts';
import { createQuota, type QuotaLimits } from './quota.ts';
import { type Method, Status } from './types.ts';

export interface WireOptions {
  readonly methods: readonly Method[];
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<QuotaLimits>;
  readonly counters?: Counters;
}

export const WIRE_LIMITS: QuotaLimits = { callsPerUid: 20_000, requestsPerSecondPerUid: 20_000 };

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

/**
 * HTTP/2 streams of a uid that are no calls: of requests that have not come whole, of calls that are refused. Beyond
 * them a stream is closed without a status.
 */
const STREAMS_BESIDE_CALLS = 1_000;

const OPTIONS: grpc.ServerOptions = {
  /** A tenth faster and 3 KiB a stream lighter; `forceShutdown` leaves sessions open then, which `close` knows. */
  'grpc.enable_channelz': 0,
  /** A real Envoy's DiscoveryRequest has 61 KB. Compressed ones are measured after decompression. */
  'grpc.max_receive_message_length': 1024 * 1024,
  /** For clients that hang: of one that ends the kernel tells. */
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
};

export function createWire(options: WireOptions): Wire {
  const { clock, log } = options;
  const limits = { ...WIRE_LIMITS, ...options.limits };
  const quota = createQuota(limits, options.counters ?? new Counters());
  const connections = new Map<string, Connection>();
  const streams = watchHttp2Streams(limits.callsPerUid + STREAMS_BESIDE_CALLS, (id) => connections.get(id)?.peer);
  const allClosed = Promise.withResolvers<void>();
  let streamCount = 0;
  let closing: Promise<void> | undefined;

  // Otherwise grpc-js writes to stderr, whenever a client likes, what is wrong with its metadata.
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  const server = new grpc.Server(OPTIONS);
  for (const method of options.methods) register(method);
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());

  return {
    inject(socket, peer) {
      if (closing !== undefined) return peer.close();
      connections.set(peer.id, new Connection(socket, peer, quota, clock));
      socket.once('close', () => {
        connections.delete(peer.id);
        if (connections.size === 0 && closing !== undefined) allClosed.resolve();
      });
      Object.defineProperty(socket, 'remoteAddress', { value: peer.id });
      injector.injectConnection(socket);
    },
    get streamCount() {
      return streamCount;
    },
    close(graceMs) {
      closing ??= shutDown(graceMs);
      return closing;
    },
  };

  function register(method: Method): void {
    if (method.kind === 'unary') {
      const serve: grpc.handleUnaryCall<Buffer, Buffer> = (call, callback) => {
        const caller = callerOf(call);
        if (caller === undefined) callback(VANISHED);
        else serveUnary(method, call, callback, caller, log);
      };
      server.register(method.path, serve, identity, identity, 'unary');
    } else {
      const serve: grpc.handleBidiStreamingCall<Buffer, Buffer> = (call) => {
        const caller = callerOf(call);
        if (caller === undefined) return void call.emit('error', VANISHED);
        streamCount += 1;
        call.once('cancelled', () => {
          streamCount -= 1;
        });
        serveStream(method, call, caller, log);
      };
      server.register(method.path, serve, identity, identity, 'bidi');
    }
  }

  function callerOf(call: { getPeer(): string }): Caller | undefined {
    return connections.get(call.getPeer());
  }

  async function shutDown(graceMs: number): Promise<void> {
    if (connections.size === 0) allClosed.resolve();
    for (const connection of connections.values()) connection.endCalls('Sidekey is shutting down');
    injector.drain(graceMs);
    const deadline = clock.after(graceMs, allClosed.resolve);
    await allClosed.promise;
    deadline.cancel();
    for (const connection of connections.values()) connection.peer.close();
    streams.stop();
    injector.destroy();
    server.forceShutdown();
  }
}

/** The connection closed between the call's arrival and its handler; nobody reads this. */
const VANISHED = { code: Status.UNAVAILABLE, details: 'the connection has closed' };

/** Messages pass as they are: whoever handles them knows what they need of them. */
function identity(bytes: Buffer): Buffer {
  return bytes;
}
