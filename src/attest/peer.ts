/**
 * A caller on the pipe: the connection, and the process that opened it.
 *
 * The process is pinned by a pidfd, taken when the connection was accepted: while that says "alive", the pid can't mean
 * another process. What it runs is pinned too: a process that connects, forks and then executes a trusted program
 * leaves its socket to the child, so a connection whose process executes something else is spent, whatever the new
 * program is. (It may have done so before it was accepted: path and sha256 remain no boundary within a uid.)
 */

import fs from 'node:fs';
import type net from 'node:net';
import { SidekeyError } from '../base/errors.ts';
import { readable } from '../base/proc/text.ts';
import { currentTurn } from '../base/turn.ts';
import type { Owner } from '../limits/owner.ts';
import type { Turns } from '../limits/turns.ts';
import { type AttestOptions, collectSelectors } from './attestation.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import { areSameFile, type FileIdentity, hasEnded } from './libc.ts';
import { readExecutableIdentity } from './proc/exe.ts';
import { type ProcessStatus, readStatus } from './proc/status.ts';
import { lookAtProgram, looksSoFar } from './program-looks.ts';
import { openPeerPidfd, openPeerPidfdByPid, peerCredentials, peerGroups } from './socket-peer.ts';
import { checkGroupCount, MAX_GROUPS } from './supplementary-groups.ts';
import type { Attestation, KnownSelectors, Peer, PeerCredentials, ProgramMemory } from './types.ts';

export interface PeerOptions extends AttestOptions {
  readonly exitWatcher: ExitWatcher;
  /**
   * True: the kernel has no SO_PEERPIDFD, and callers are pinned by their pids, which leaves a hole.
   * @see openPeerPidfdByPid
   */
  readonly pinByPid?: boolean;
  /** The user or container that the caller's use is counted for. */
  readonly owner: Owner;
  /** Attestations are begun in turns. */
  readonly turns: Turns;
}

/** A peer with what only this room asks about. */
export interface ConnectedPeer extends Peer {
  readonly program: Readonly<ProgramMemory>;
}

/**
 * Takes the kernel's word about a connection that was just accepted, and pins its process.
 * @throws ERR_PEER_GONE when the process has ended and left nothing to pin, ERR_PEER_CHANGED where it may be another
 */
export function openPeer(socket: net.Socket, options: PeerOptions): ConnectedPeer {
  const credentials = peerCredentials(socket);
  const pin = () => (options.pinByPid === true ? openPeerPidfdByPid(socket) : openPeerPidfd(socket));
  const pidfd = credentials.pid === 0 ? undefined : pin();
  if (credentials.pid !== 0 && pidfd === undefined) throw gone(credentials);
  try {
    return new PipePeer(socket, credentials, pidfd, options);
  } catch (error) {
    if (pidfd !== undefined) fs.closeSync(pidfd);
    throw error;
  }
}

let opened = 0;

class PipePeer implements ConnectedPeer {
  readonly id: string;
  readonly credentials: PeerCredentials;
  readonly program: ProgramMemory = { path: undefined, replaced: undefined };
  readonly #socket: net.Socket;
  readonly #options: PeerOptions;
  /** Undefined for pid 0, where nothing can be known of the process. */
  readonly #pidfd: number | undefined;
  /** The file that the process ran when the connection was accepted; undefined where that can't be read. */
  readonly #executable: FileIdentity | undefined;
  /** Looks at the program up to this one say nothing: they were before the connection, or before the facts. */
  #seen = looksSoFar();
  #unwatch = (): void => {};
  #gone = false;
  #listeners: (() => void)[] = [];
  #reading: Promise<Attestation> | undefined;

  constructor(socket: net.Socket, credentials: PeerCredentials, pidfd: number | undefined, options: PeerOptions) {
    opened += 1;
    this.id = `pipe-${opened}`;
    this.credentials = credentials;
    this.#socket = socket;
    this.#options = options;
    this.#pidfd = pidfd;
    this.#executable = readable(() => readExecutableIdentity(credentials.pid));
    if (pidfd !== undefined) this.#unwatch = options.exitWatcher.watch(pidfd, () => this.#end());
    socket.once('close', () => this.#end());
  }

  get gone(): boolean {
    return this.#gone;
  }

  get owner(): Owner {
    return this.#options.owner;
  }

  attest(): Promise<Attestation> {
    this.#reading ??= this.#attestInTurn().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  #attestInTurn(): Promise<Attestation> {
    return new Promise((resolve) => {
      this.#options.turns.run(this.owner.accounts[0], () => resolve(this.#attest()));
    });
  }

  async #attest(): Promise<Attestation> {
    const begun = currentTurn();
    const status = this.#readStatus();
    const contained = this.#options.whyContained(this.credentials.pid, status);
    const caller = { ...this.credentials, groups: status.groups, owner: this.owner, program: this.program };
    const [result] = await Promise.allSettled([collectSelectors(caller, contained, this.#options)]);
    // Whatever came out: a process that has ended or changed is the better reason, and makes the facts worthless. A look
    // before the facts were read says nothing of them.
    this.#seen = looksSoFar();
    this.verify();
    if (currentTurn() !== begun) this.#readStatus();
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  }

  known(type: string): KnownSelectors | undefined {
    return this.#options.attestors.find(({ name }) => name === type)?.known?.(this.program);
  }

  verify(): void {
    const isSame = this.#runsTheSame();
    // Looked at last: if it is alive now, it was alive, and the pid its own, while /proc was read.
    this.#verifyAlive();
    if (!isSame) throw this.#spent('has executed another program');
  }

  #runsTheSame(): boolean {
    const [then, now] = [this.#executable, lookAtProgram(this.credentials.pid, this.#seen)];
    return then === undefined || now === undefined ? then === now : areSameFile(then, now);
  }

  /**
   * The groups are asked for twice, as they were at connect and as they are: where they differ, no answer is right. The
   * process would keep one that it gave up, or have one that it took after it had connected; and to count only those of
   * both lists would hide one from an entry that excludes it.
   * @throws unless the process still has the user and the groups that it connected with
   */
  #readStatus(): ProcessStatus {
    this.#verifyAlive();
    const { pid, uid, gid } = this.credentials;
    // Asked for first: of a process in too many groups it tells the number, where `status` is made whole.
    const groups = peerGroups(this.#socket, MAX_GROUPS);
    if (groups !== undefined && 'count' in groups) checkGroupCount(pid, groups.count);
    const status = this.#lookAtStatus();
    this.#verifyAlive();
    if (status === undefined) {
      throw new SidekeyError(
        'ERR_PEER_UNATTESTABLE',
        `/proc does not show process ${pid} (is it mounted with hidepid?)`,
      );
    }
    if (status.uid !== uid || status.gid !== gid) throw this.#spent('has changed its user or group');
    if (groups !== undefined && !areSame(groups as readonly number[], status.groups)) {
      throw this.#spent('has changed its supplementary groups');
    }
    return status;
  }

  /** Undefined where it is not to be seen. @throws ERR_PROC where the file has another form */
  #lookAtStatus(): ProcessStatus | undefined {
    try {
      return readStatus(this.credentials.pid);
    } catch (error) {
      if (error instanceof SidekeyError) throw error;
      return undefined;
    }
  }

  #verifyAlive(): void {
    if (this.#gone) throw gone(this.credentials);
    if (this.#pidfd === undefined) {
      const message = `the caller (uid ${this.credentials.uid}) is in a pid namespace that this one does not contain`;
      throw new SidekeyError('ERR_PEER_UNATTESTABLE', `${message}: in a container, Sidekey needs pid: host`);
    }
    if (hasEnded(this.#pidfd)) throw gone(this.credentials);
  }

  onGone(listener: () => void): void {
    if (this.#gone) process.nextTick(listener);
    else this.#listeners.push(listener);
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The connection is good for nothing any more: once whoever asked has the reason, it counts as gone. */
  #spent(how: string): SidekeyError {
    setImmediate(() => this.#end());
    return new SidekeyError('ERR_PEER_CHANGED', `process ${this.credentials.pid} ${how} since it connected`);
  }

  /** The process has ended or changed, or the connection has closed, whichever comes first. */
  #end(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#unwatch();
    if (this.#pidfd !== undefined) fs.closeSync(this.#pidfd);
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }
}

function areSame(some: readonly number[], others: readonly number[]): boolean {
  return some.length === others.length && some.every((one, at) => one === others[at]);
}

function gone({ pid }: PeerCredentials): SidekeyError {
  return new SidekeyError('ERR_PEER_GONE', `process ${pid} has ended or closed its connection`);
}
