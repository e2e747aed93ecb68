/**
 * The pipe: accepts connections on the Unix socket and says who each one is.
 *
 * The maker of the listener starts and stops it; `onConnection` takes over each connection, and closes it.
 */

import net from 'node:net';
import type { Clock } from '../base/clock.ts';
import { readable } from '../base/proc/text.ts';
import { type ConnectionPlace, type Owner, Owners } from '../limits/owner.ts';
import { QUOTA_LIMITS, Quota, type Refusal } from '../limits/quota.ts';
import type { Reader } from '../limits/readers.ts';
import { Turns } from '../limits/turns.ts';
import type { Selector } from '../spiffe/selector.ts';
import { Counters } from '../telemetry/counters.ts';
import { type Log, ownedLog } from '../telemetry/log.ts';
import { Rarely } from '../telemetry/rarely.ts';
import { createAccounts } from './accounts.ts';
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
  readonly exitWatcher: ExitWatcher;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes the socket over. Nothing was read from it before, so that no byte of it is lost. */
  readonly onConnection: (socket: net.Socket, peer: Peer, reading: Reader) => void;
  /** How long an attestation may take, in milliseconds. */
  readonly attestTimeoutMs?: number;
  /** See {@link AttestOptions.keeps}. */
  readonly keeps?: (selector: Selector) => boolean;
  /** The kernel has no SO_PEERPIDFD; see {@link PeerOptions.pinByPid}. */
  readonly pinByPid?: boolean;
  readonly quota?: Quota;
  readonly turns?: Turns;
  readonly ownerOf?: OwnerOf;
}

/** How long an attestation may take unless told otherwise, in milliseconds. */
export const ATTEST_TIMEOUT_MS = 5_000;

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

/** A connection that may be there. */
interface Admitted {
  readonly owner: Owner;
  readonly place: ConnectionPlace;
}

/**
 * How long connections are accepted in one turn of the event loop, in milliseconds: longer than the rest of a busy turn, so
 * that they are accepted faster than a flood brings them, and the backlog has room for others.
 */
const ACCEPT_MS = 8;
/** The log gets one line in this many milliseconds about refused connections, and one about callers that are not known. */
const REFUSALS_LOG_MS = 10_000;
/** How many processes are looked at for programs that were replaced: a look takes a few microseconds. */
const REPLACED_LOOKS = 10_000;

export function createPipe(options: PipeOptions): Pipe {
  const { clock, onConnection } = options;
  /** Of callers about whom not even the uid is known. */
  const log = ownedLog(options.log, 'unknown callers');
  const quota = options.quota ?? new Quota(QUOTA_LIMITS, new Counters());
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
  const unknownLines = new Rarely(clock, REFUSALS_LOG_MS);

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
      tellUnknown(error as Error);
    }
    if (admitted === undefined) socket.destroy();
    else take(socket, admitted);
  }

  /** The others that wait, up to a bound. */
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
      tellUnknown(error as Error);
    }
  }

  /** Takes a place for a connection; undefined where its owner gets none. Cheap: a caller may connect as fast as it can. */
  function admit(credentials: PeerCredentials): Admitted | undefined {
    const owner = ownerOf(credentials);
    const place = quota.openConnection(owner, clock.now());
    if (typeof place !== 'function') return { owner, place };
    tellRefused(place, credentials);
    return undefined;
  }

  function take(socket: net.Socket, { owner, place }: Admitted): void {
    place.evict = () => socket.destroy();
    // A reset connection is an everyday thing; what matters of it is the 'close' that follows.
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
      tellUnknown(error as Error);
      return;
    }
    peers.add(peer);
    socket.once('close', () => peers.delete(peer));
    handOver(socket, peer);
  }

  /** A process that has ended meanwhile is an everyday thing. Callers can cause any number of all other errors. */
  function tellUnknown(error: Error): void {
    const { code } = error as { code?: string };
    if (code === 'ERR_PEER_GONE') {
      log.debug({ reason: error.message }, 'caller was gone before it was accepted');
      return;
    }
    const leftOut = unknownLines.mayTell();
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

  /** Now, or in its owner's turn, and until then nothing is read from the connection. */
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

  function tellRefused(reason: Refusal, credentials: PeerCredentials): void {
    const leftOut = refusalLines.mayTell();
    if (leftOut === undefined) return;
    options.log.warn({ ...credentials, reason: reason(), refused: leftOut + 1 }, 'connections are refused');
  }
}

/** For a pipe that shares no limits with other parts. */
function defaultOwnerOf(): OwnerOf {
  const accounts = createAccounts();
  return createOwnerOf(
    new Owners(),
    createSubordinateIds((user) => accounts.uid(user)),
  );
}
