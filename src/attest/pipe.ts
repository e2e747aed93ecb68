/**
 * The pipe: accepts connections on the Unix socket and identifies the process of each.
 *
 * The caller of {@link createPipe} starts and stops the listener. `onConnection` takes over each connection and closes
 * it.
 */

import net from 'node:net';
import { type Clock, readable } from '../base/index.ts';
import {
  type ConnectionPlace,
  type Owner,
  Owners,
  type Quota,
  type Reader,
  Turns,
  type WhyRefused,
} from '../limits/index.ts';
import type { Selector } from '../spiffe/index.ts';
import { type Log, ownedLog, Rarely } from '../telemetry/index.ts';
import { createAccounts } from './accounts.ts';
import type { AskedFurther } from './attestation.ts';
import type { AttestationTimes } from './attestation-times.ts';
import type { WhyContained } from './contained.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import { createOwnerOf, type OwnerOf } from './owner-of.ts';
import { type ConnectedPeer, openPeer, type PeerOptions } from './peer.ts';
import { readExecutablePath } from './proc/exe.ts';
import { acceptWaiting, openAccepted, peerCredentials, refuseAccepted } from './socket-peer.ts';
import { SocketReading } from './socket-reading.ts';
import { createSubordinateIds } from './subordinate-ids.ts';
import type { Attestor, Peer, PeerCredentials } from './types.ts';

export interface PipeOptions {
  readonly attestors: readonly Attestor[];
  readonly whyContained: WhyContained;
  /** See {@link AttestOptions.whySeenContained}. */
  readonly whySeenContained?: WhyContained | undefined;
  readonly exitWatcher: ExitWatcher;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes the socket over. No byte was read from it before. */
  readonly onConnection: (socket: net.Socket, peer: Peer, reading: Reader) => void;
  /** Time limit of an attestation, in milliseconds. */
  readonly attestTimeoutMs?: number;
  /** See {@link AttestOptions.times}. */
  readonly times?: AttestationTimes;
  /** See {@link AttestOptions.keeps}. */
  readonly keeps?: (selector: Selector) => boolean;
  /** See {@link AttestOptions.asked}. */
  readonly asked?: AskedFurther;
  /** True if the kernel has no SO_PEERPIDFD; see {@link PeerOptions.pinByPid}. */
  readonly pinByPid?: boolean;
  readonly quota: Quota;
  readonly turns?: Turns;
  readonly ownerOf?: OwnerOf;
}

/** Default time limit of an attestation, in milliseconds. */
export const ATTEST_TIMEOUT_MS = 5_000;

export interface Pipe {
  /** Listen with a backlog of 4096, because with Node's 511 a burst of connections fails with EAGAIN. */
  readonly server: net.Server;
  /** The number of open connections. */
  readonly connectionCount: number;
  /**
   * Callers whose program was deleted or replaced since its start, among the first {@link REPLACED_LOOKS} processes.
   */
  replacedPrograms(): ReplacedProgram[];
}

export interface ReplacedProgram {
  readonly pid: number;
  readonly uid: number;
  /** The former path of its file. */
  readonly path: string;
  /** True if the connection keeps its `unix:path`, because it was attested before; a new connection would have none. */
  readonly keepsPath: boolean;
}

/** A connection that the limits allow. */
interface Admitted {
  readonly owner: Owner;
  readonly place: ConnectionPlace;
}

/**
 * Maximum time for accepting connections in one turn of the event loop, in milliseconds. It is longer than the rest of
 * a busy turn, so that a flood is accepted faster than it arrives and the backlog has room for others.
 */
const ACCEPT_MS = 8;
/**
 * Minimum interval of log lines about refused connections, and of those about unidentified callers, in milliseconds.
 */
const REFUSALS_LOG_MS = 10_000;
/** Maximum number of processes checked for replaced programs; a check takes a few microseconds. */
const REPLACED_LOOKS = 10_000;

export function createPipe(options: PipeOptions): Pipe {
  const { clock, onConnection, quota } = options;
  /** For callers whose uid is not known. */
  const log = ownedLog(options.log, 'unknown callers');
  const turns = options.turns ?? new Turns();
  const ownerOf = options.ownerOf ?? defaultOwnerOf();
  const peerOptions: Omit<PeerOptions, 'owner'> = {
    ...options,
    turns,
    attestTimeoutMs: options.attestTimeoutMs ?? ATTEST_TIMEOUT_MS,
  };
  const peers = new Set<ConnectedPeer>();
  let connectionCount = 0;
  const refusalLines = new Rarely(clock, REFUSALS_LOG_MS);
  const unidentifiedLines = new Rarely(clock, REFUSALS_LOG_MS);

  const server = net.createServer((socket) => {
    accept(socket);
    acceptOthers();
  });
  return {
    server,
    get connectionCount() {
      return connectionCount;
    },
    replacedPrograms,
  };

  function accept(socket: net.Socket): void {
    let admitted: Admitted | undefined;
    try {
      admitted = admit(peerCredentials(socket));
    } catch (error) {
      logUnidentified(error as Error);
    }
    if (admitted === undefined) socket.destroy();
    else take(socket, admitted);
  }

  /** Accepts the connections that wait, within {@link ACCEPT_MS}. */
  function acceptOthers(): void {
    const end = performance.now() + ACCEPT_MS;
    try {
      acceptWaiting(server, (fd, credentials) => {
        const admitted = admit(credentials);
        if (admitted === undefined) refuseAccepted(fd);
        else take(openAccepted(fd), admitted);
        return performance.now() < end;
      });
    } catch (error) {
      logUnidentified(error as Error);
    }
  }

  /**
   * Reserves a place for a connection; undefined if the limits refuse it. It must be cheap, because callers connect
   * freely.
   */
  function admit(credentials: PeerCredentials): Admitted | undefined {
    const owner = ownerOf(credentials);
    const place = quota.openConnection(owner, clock.now());
    if (typeof place !== 'function') return { owner, place };
    logRefused(place, credentials);
    return undefined;
  }

  function take(socket: net.Socket, { owner, place }: Admitted): void {
    place.evict = () => socket.destroy();
    // Resets are common and need no action: 'close' follows.
    socket.on('error', ({ message }) => log.debug({ reason: message }, 'connection on the pipe failed'));
    connectionCount += 1;
    socket.once('close', () => {
      connectionCount -= 1;
      quota.closeConnection(place);
    });
    let peer: ConnectedPeer;
    try {
      peer = openPeer(socket, { ...peerOptions, owner });
    } catch (error) {
      socket.destroy();
      logUnidentified(error as Error);
      return;
    }
    peers.add(peer);
    socket.once('close', () => peers.delete(peer));
    handOver(socket, peer);
  }

  /**
   * Logs why a process could not be identified. That it has ended is common, and logged at debug level. Lines about
   * other errors are limited, because callers can cause them at will.
   */
  function logUnidentified(error: Error): void {
    const { code } = error as { code?: string };
    if (code === 'ERR_PEER_GONE') {
      log.debug({ reason: error.message }, 'the calling process ended before its connection was accepted');
      return;
    }
    const leftOut = unidentifiedLines.mayTell();
    if (leftOut === undefined) return;
    const line = { code, reason: error.message, closed: leftOut + 1 };
    if (code === 'ERR_PEER_CHANGED') log.warn(line, 'the calling process cannot be identified: connection closed');
    else log.error(line, 'the calling process cannot be identified: connection closed');
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

  /** Hands the connection over now or in its owner's next turn; until then nothing is read from it. */
  function handOver(socket: net.Socket, peer: Peer): void {
    const [account] = peer.owner.accounts;
    const reading = new SocketReading(socket);
    if (turns.isOpen(account)) {
      turns.measure(account, () => onConnection(socket, peer, reading));
      return;
    }
    reading.pause();
    turns.later(account, () => {
      if (socket.destroyed) return;
      onConnection(socket, peer, reading);
      reading.resume();
    });
  }

  function logRefused(reason: WhyRefused, credentials: PeerCredentials): void {
    const leftOut = refusalLines.mayTell();
    if (leftOut === undefined) return;
    options.log.warn({ ...credentials, reason: reason(), refused: leftOut + 1 }, 'connections are refused');
  }
}

/** For a pipe that shares no limits with other parts of Sidekey. */
function defaultOwnerOf(): OwnerOf {
  const accounts = createAccounts();
  return createOwnerOf(
    new Owners(),
    createSubordinateIds((user) => accounts.uid(user)),
  );
}
