/**
 * The pipe: accepts connections on the Unix socket and says who each one is.
 *
 * Listening, and to stop listening, is somebody else's; closing connections is that of whoever they are given to.
 */

import net from 'node:net';
import type { Clock } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import { Counters } from '../telemetry/counters.ts';
import { type Log, ownedLog } from '../telemetry/log.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import { openPeer } from './peer.ts';
import type { Attestor, Peer } from './types.ts';

export interface PipeOptions {
  readonly attestors: readonly Attestor[];
  readonly exitWatcher: ExitWatcher;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes the socket over, in the tick in which it was accepted, so that no byte of it is lost. */
  readonly onConnection: (socket: net.Socket, peer: Peer) => void;
  readonly limits?: Partial<PipeLimits>;
  readonly counters?: Counters;
}

export interface PipeLimits {
  /** How many connections one uid may hold; more are closed at once. */
  readonly connectionsPerUid: number;
  /** How many connections all may hold together: as many as there are descriptors for. */
  readonly connections: number;
  /** How long an attestation may take, in milliseconds. */
  readonly attestTimeoutMs: number;
}

export const PIPE_LIMITS: PipeLimits = {
  connectionsPerUid: 2_000,
  connections: Number.MAX_SAFE_INTEGER,
  attestTimeoutMs: 5_000,
};

export interface Pipe {
  /** To listen with: backlog 4096, since Node's 511 turns a burst of connections away with EAGAIN. */
  readonly server: net.Server;
  /** Connections that are open now. */
  readonly connectionCount: number;
}

/** The log gets one line in this many milliseconds about refused connections. */
const REFUSALS_LOG_MS = 10_000;

export function createPipe(options: PipeOptions): Pipe {
  const limits = { ...PIPE_LIMITS, ...options.limits };
  const counters = options.counters ?? new Counters();
  const peerOptions = { ...options, attestTimeoutMs: limits.attestTimeoutMs };
  const perUid = new Map<number, number>();
  /** Of those about whom not even the uid is known. */
  const log = ownedLog(options.log, 'unknown callers');
  let connectionCount = 0;
  let nextRefusalLog = 0;

  const server = net.createServer(accept);
  return {
    server,
    get connectionCount() {
      return connectionCount;
    },
  };

  function accept(socket: net.Socket): void {
    // A reset connection is an everyday thing; what matters of it is the 'close' that follows.
    socket.on('error', (err) => log.debug({ err }, 'connection on the pipe failed'));
    let peer: Peer;
    try {
      peer = openPeer(socket, peerOptions);
    } catch (err) {
      if (err instanceof SidekeyError) log.debug({ err }, 'caller was gone before it was accepted');
      else log.error({ err }, 'cannot find out who is calling: connection closed');
      socket.destroy();
      return;
    }
    const { uid } = peer.credentials;
    const held = perUid.get(uid) ?? 0;
    if (held >= limits.connectionsPerUid) {
      refuse(peer, limits.connectionsPerUid, 'its uid holds as many as it may (maxConnectionsPerUid)');
      return;
    }
    // Accepting until there are no descriptors left would have libuv close connections without a word.
    if (connectionCount >= limits.connections) {
      counters.add('connections_without_descriptors_total');
      refuse(peer, limits.connections, 'the descriptors for the pipe are all taken (RLIMIT_NOFILE, ulimit -n)');
      return;
    }
    perUid.set(uid, held + 1);
    connectionCount += 1;
    counters.add('connections_accepted_total');
    socket.once('close', () => release(uid));
    options.onConnection(socket, peer);
  }

  function release(uid: number): void {
    connectionCount -= 1;
    const held = perUid.get(uid)! - 1;
    if (held === 0) perUid.delete(uid);
    else perUid.set(uid, held);
  }

  function refuse(peer: Peer, limit: number, why: string): void {
    peer.close();
    counters.add('connections_refused_total');
    const now = options.clock.now();
    if (now < nextRefusalLog) return;
    nextRefusalLog = now + REFUSALS_LOG_MS;
    options.log.warn(
      { ...peer.credentials, limit, refused: counters.get('connections_refused_total') },
      `connection refused: ${why}`,
    );
  }
}
