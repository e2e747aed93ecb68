/**
 * A caller on the pipe: the connection, and the process that opened it.
 *
 * The process is pinned by a pidfd, opened when the connection is accepted: as long as the pidfd reports it as alive,
 * no other process can have its pid. The program is pinned too. A process could connect, fork, and then execute a
 * trusted program, while the child uses the socket; so a connection becomes invalid as soon as its process executes
 * another program. (The process may have done this before the connection was accepted, so path and sha256 do not
 * separate processes of one user.)
 */

import fs from 'node:fs';
import type net from 'node:net';
import { currentTurn, readable, SidekeyError } from '../base/index.ts';
import type { Owner, Turns } from '../limits/index.ts';
import { type AttestOptions, collectSelectors } from './attestation.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import { areSameFile, type FileIdentity, hasEnded } from './libc.ts';
import { readExecutableIdentity } from './proc/exe.ts';
import { type ProcessStatus, readStatus } from './proc/status.ts';
import { lastLook, lookAtProgram } from './program-looks.ts';
import { openPeerPidfd, openPeerPidfdByPid, peerCredentials, peerGroups } from './socket-peer.ts';
import { checkGroupCount, MAX_GROUPS } from './supplementary-groups.ts';
import type { Attestation, KnownSelectors, Peer, PeerCredentials, ProgramMemory } from './types.ts';

export interface PeerOptions extends AttestOptions {
  readonly exitWatcher: ExitWatcher;
  /** True if the kernel has no SO_PEERPIDFD; callers are pinned by pid, which is weaker: {@link openPeerPidfdByPid}. */
  readonly pinByPid?: boolean;
  /** The user or container that the caller's use is charged to. */
  readonly owner: Owner;
  /** An attestation starts in a turn of its owner. */
  readonly turns: Turns;
}

/** A peer with a member for this room only. */
export interface ConnectedPeer extends Peer {
  readonly program: Readonly<ProgramMemory>;
}

/**
 * Reads the credentials of a connection that was just accepted, and pins its process.
 * @throws ERR_PEER_GONE if the process was reaped, ERR_PEER_CHANGED if its pid may have been reused
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
  /** Undefined if the pid is 0; then the process can't be attested. */
  readonly #pidfd: number | undefined;
  /** The program at the time of the accept; undefined if it can't be read. */
  readonly #executable: FileIdentity | undefined;
  /** Ignore looks at the program up to this one: they predate the connection or its last attestation. */
  #lastLook = lastLook();
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
    const { times, turns } = this.#options;
    const attest = () => (times === undefined ? this.#attest() : times.count(this.#attest()));
    return new Promise((resolve) => {
      turns.run(this.owner.accounts[0], () => resolve(attest()));
    });
  }

  async #attest(): Promise<Attestation> {
    const begun = currentTurn();
    const status = this.#readStatus();
    const { whyContained, whySeenContained } = this.#options;
    const contained = whyContained(this.credentials.pid, status);
    const seen = whySeenContained?.(this.credentials.pid, status);
    const { owner, program } = this;
    const caller = { ...this.credentials, groups: status.groups, owner, program, contained: seen };
    const [result] = await Promise.allSettled([collectSelectors(caller, contained, this.#options)]);
    // Verify even if an attestor failed, because the end or change of the process is the better reason. Only a new look
    // at the program can show that it did not change while the facts were read.
    this.#lastLook = lastLook();
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
    // Afterwards: if the process is alive now, its pid was not reused while /proc was read.
    this.#verifyAlive();
    if (!isSame) throw this.#changed('has executed another program');
  }

  #runsTheSame(): boolean {
    const [then, now] = [this.#executable, lookAtProgram(this.credentials.pid, this.#lastLook)];
    return then === undefined || now === undefined ? then === now : areSameFile(then, now);
  }

  /**
   * Reads /proc/PID/status. The user and groups there must equal those at connect. If the groups differ, neither list
   * can be used: the earlier one may have a group that the process gave up, the later one a group that it took after it
   * connected, and the common groups may lack one of either.
   * @throws ERR_PEER_CHANGED, ERR_PEER_GONE, ERR_PEER_UNATTESTABLE; ERR_ATTESTATION_FAILED if there are too many groups
   */
  #readStatus(): ProcessStatus {
    this.#verifyAlive();
    const { pid, uid, gid } = this.credentials;
    // First, because it returns only the number if there are too many groups; `status` would list them all.
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
    if (status.uid !== uid || status.gid !== gid) throw this.#changed('has changed its user or group');
    if (groups !== undefined && !areSame(groups as readonly number[], status.groups)) {
      throw this.#changed('has changed its supplementary groups');
    }
    return status;
  }

  /** Undefined if /proc does not show the process. @throws ERR_PROC if the file is malformed */
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
      const message = `the caller (uid ${this.credentials.uid}) is in a pid namespace that Sidekey does not see`;
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

  /** Returns the error, and ends the peer a little later, so that waiting calls fail with this error. */
  #changed(how: string): SidekeyError {
    setImmediate(() => this.#end());
    return new SidekeyError('ERR_PEER_CHANGED', `process ${this.credentials.pid} ${how} since it connected`);
  }

  /** Called when the process has ended or changed, and when the connection has closed; only the first call counts. */
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
