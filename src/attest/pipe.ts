/**
 * The pipe: accepts connections on the Unix socket and says who each one is.
 *
 * Listening, and to stop listening, is somebody else's; closing connections is that of whoever they are given to.
 */

import net from 'node:net';
import type { Clock } from '../base/clock.ts';
import { Counters } from '../telemetry/counters.ts';
import type { Log } from '../telemetry/log.ts';
import type { WhyContained } from './contained.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import { type ConnectedPeer, openPeer } from './peer.ts';
import { readExecutablePath } from './proc/exe.ts';
import { readable } from './proc/text.ts';
import type { Attestor, Peer } from './types.ts';

export interface PipeOptions {
  readonly attestors: readonly Attestor[];
  readonly whyContained: WhyContained;
  readonly exitWatcher: ExitWatcher;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes the socket over, in the tick in which it was accepted, so that no byte of it is lost. */
  readonly onConnection: (socket: net.Socket, peer: Peer) => void;
  readonly limits?: Partial<PipeLimits>;
  /** The kernel has no SO_PEERPIDFD; see {@link PeerOptions.pinByPid}. */
  readonly pinByPid?: boolean;
  readonly counters?: Counters;
}

export interface PipeLimits {
  /** How many connections one uid may hold; more are closed at once. */
  readonly connectionsPerUid: number;
  /** How long an attestation may take, in milliseconds. */
  readonly attestTimeoutMs: number;
}

export const PIPE_LIMITS: PipeLimits = { connectionsPerUid: 2_000, attestTimeoutMs: 5_000 };

export interface Pipe {
  /** To listen with: backlog 4096, since Node's 511 turns a burst of connections away with EAGAIN. */
  readonly server: net.Server;
  /** Connections that are open now. */
  readonly connectionCount: number;
  /** Callers whose program was deleted or replaced since it started; of very many the first. */
  replacedPrograms(): ReplacedProgram[];
}

export interface ReplacedProgram {
  readonly pid: number;
  readonly uid: number;
  /** Where its file was. */
  readonly path: string;
  /** True where its connection still has `unix:path`, of the time before; a new one would not. */
  readonly keepsPath: boolean;
}

/** The log gets one line in this many milliseconds about refused connections, and one about callers that are not known. */
const REFUSALS_LOG_MS = 10_000;
/** How many processes are looked at for programs that were replaced: a look takes a few microseconds. */
const REPLACED_LOOKS = 10_000;

export function createPipe(options: PipeOptions): Pipe {
  const limits = { ...PIPE_LIMITS, ...options.limits };
  const counters = options.counters ?? new Counters();
  const peerOptions = { ...options, attestTimeoutMs: limits.attestTimeoutMs };
  const perUid = new Map<number, number>();
  const peers = new Set<ConnectedPeer>();
  let nextRefusalLog = 0;
  let nextUnknownLog = 0;
  let unknown = 0;

  const server = net.createServer(accept);
  return {
    server,
    get connectionCount() {
      return peers.size;
    },
    replacedPrograms,
  };

  function accept(socket: net.Socket): void {
    // A reset connection is an everyday thing; what matters of it is the 'close' that follows.
    socket.on('error', ({ message }) => options.log.debug({ reason: message }, 'connection on the pipe failed'));
    let peer: ConnectedPeer;
    try {
      peer = openPeer(socket, peerOptions);
    } catch (error) {
      tellUnknown(error as Error);
      socket.destroy();
      return;
    }
    const { uid } = peer.credentials;
    const held = perUid.get(uid) ?? 0;
    if (held >= limits.connectionsPerUid) {
      refuse(peer);
      return;
    }
    perUid.set(uid, held + 1);
    peers.add(peer);
    counters.add('connections_accepted_total');
    socket.once('close', () => {
      peers.delete(peer);
      release(uid);
    });
    options.onConnection(socket, peer);
  }

  function release(uid: number): void {
    const held = perUid.get(uid)! - 1;
    if (held === 0) perUid.delete(uid);
    else perUid.set(uid, held);
  }

  /** A process that has ended meanwhile is an everyday thing. Of all else callers can make as much as they like. */
  function tellUnknown(error: Error): void {
    const { code } = error as { code?: string };
    if (code === 'ERR_PEER_GONE') {
      options.log.debug({ reason: error.message }, 'caller was gone before it was accepted');
      return;
    }
    unknown += 1;
    const now = options.clock.now();
    if (now < nextUnknownLog) return;
    nextUnknownLog = now + REFUSALS_LOG_MS;
    const line = { code, reason: error.message, closed: unknown };
    if (code === 'ERR_PEER_CHANGED') options.log.warn(line, 'cannot find out who is calling: connection closed');
    else options.log.error(line, 'cannot find out who is calling: connection closed');
  }

  function replacedPrograms(): ReplacedProgram[] {
    const found = new Map<number, ReplacedProgram>();
    const looked = new Set<number>();
    for (const { credentials, program, gone } of peers) {
      const { pid, uid } = credentials;
      if (gone || looked.has(pid)) continue;
      looked.add(pid);
      if (looked.size > REPLACED_LOOKS) break;
      const replaced = program.replaced ?? readable(() => readExecutablePath(pid))?.replaced;
      if (replaced === undefined) continue;
      found.set(pid, { pid, uid, path: replaced, keepsPath: program.path !== undefined });
    }
    return [...found.values()];
  }

  function refuse(peer: Peer): void {
    peer.close();
    counters.add('connections_refused_total');
    const now = options.clock.now();
    if (now < nextRefusalLog) return;
    nextRefusalLog = now + REFUSALS_LOG_MS;
    options.log.warn(
      { ...peer.credentials, limit: limits.connectionsPerUid, refused: counters.get('connections_refused_total') },
      'connection refused: its uid holds as many as it may (maxConnectionsPerUid)',
    );
  }
}
