/**
 * A connected Unix socket: who is on the other end, by the kernel's word, and whether it is read from.
 *
 * Node has no public way to a socket's descriptor, nor one to stop reading from a socket that node:http2 has taken over:
 * `_handle` is the one private thing that Sidekey touches, here and nowhere else.
 */

import fs from 'node:fs';
import net from 'node:net';
import { SidekeyError } from '../base/errors.ts';
import {
  acceptConnection,
  bootTicks,
  hasEnded,
  peerPidfd,
  pidfdOpen,
  peerCredentials as readCredentials,
  peerGroups as readGroups,
  SystemCallError,
} from './libc.ts';
import { readStat } from './proc/stat.ts';
import { readStatus } from './proc/status.ts';
import type { PeerCredentials } from './types.ts';

/** The process that connected, as it was then: its pid, effective uid and gid. */
export function peerCredentials(socket: net.Socket): PeerCredentials {
  return readCredentials(descriptorOf(socket));
}

/**
 * Accepts connections that wait, as descriptors that are no sockets of Node's yet, until none waits or `admit` returns
 * false. Node accepts one in each turn of its event loop: a caller that connects faster than that would fill the backlog,
 * and the kernel would turn others away. A refused connection costs three system calls.
 * @param admit told who connected; the descriptor is its own, to open ({@link openAccepted}) or to close
 * @throws SystemCallError EMFILE, …
 */
export function acceptWaiting(server: net.Server, admit: (fd: number, peer: PeerCredentials) => boolean): void {
  const listener = handleOf(server)?.fd;
  if (typeof listener !== 'number' || listener < 0) return;
  for (;;) {
    const fd = acceptConnection(listener);
    if (fd === undefined) return;
    let credentials: PeerCredentials;
    try {
      credentials = readCredentials(fd);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    if (!admit(fd, credentials)) return;
  }
}

export function openAccepted(fd: number): net.Socket {
  return new net.Socket({ fd });
}

export function refuseAccepted(fd: number): void {
  fs.closeSync(fd);
}

/**
 * The supplementary groups of the process that connected, as they were then: the list where there are at most `limit`, else
 * their number; undefined where the kernel does not say (Linux before 4.13).
 */
export function peerGroups(socket: net.Socket, limit: number): ReturnType<typeof readGroups> | undefined {
  try {
    return readGroups(descriptorOf(socket), limit);
  } catch (error) {
    if (hasCode(error, 'ENOPROTOOPT')) return undefined;
    throw error;
  }
}

/** A pidfd of the process that connected, so that its pid can't come to mean another one; undefined once it was reaped. */
export function openPeerPidfd(socket: net.Socket): number | undefined {
  try {
    return peerPidfd(descriptorOf(socket));
  } catch (error) {
    if (hasCode(error, 'EINVAL', 'ESRCH')) return undefined;
    throw error;
  }
}

/**
 * The same by the pid alone, for Linux before 6.5; to call right after the connection was accepted. The process that is
 * pinned has the user and group of the one that connected, and began before the connection was accepted.
 *
 * What that leaves open: the kernel does not tell when a process connected. One that has ended since, before it was
 * accepted, may have left its pid to another one of the same user and group, which is then taken for it.
 *
 * @param accepted when the connection was, or a little later, as {@link bootTicks} has it
 * @returns undefined where no process has the pid any more
 * @throws ERR_PEER_CHANGED where the process that has it is not the one that connected, or can't be told from a later one
 */
export function openPeerPidfdByPid(socket: net.Socket, accepted: number = bootTicks()): number | undefined {
  const { pid, uid, gid } = readCredentials(descriptorOf(socket));
  const pidfd = openPidfdByPid(pid);
  if (pidfd === undefined) return undefined;
  try {
    const { startTicks } = readStat(pid);
    const status = readStatus(pid);
    // Looked at last: if it is alive now, what was read is of this process.
    if (!hasEnded(pidfd)) {
      if (status.uid !== uid || status.gid !== gid) throw another(pid, 'has another user or group');
      // Within the same hundredth of a second it may have begun afterwards.
      if (startTicks >= accepted) throw another(pid, 'began when the connection was accepted, or later');
      return pidfd;
    }
  } catch (error) {
    fs.closeSync(pidfd);
    if (isEnd(error)) return undefined;
    throw error;
  }
  fs.closeSync(pidfd);
  return undefined;
}

function another(pid: number, how: string): SidekeyError {
  return new SidekeyError(
    'ERR_PEER_CHANGED',
    `process ${pid} ${how}: its pid may have been that of another one before`,
  );
}

/** Of reading /proc/PID: it was reaped. */
function isEnd(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH';
}

/** A pidfd of the process that has this pid now; undefined where none has. @throws SystemCallError */
export function openPidfdByPid(pid: number): number | undefined {
  try {
    return pidfdOpen(pid);
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof SystemCallError && codes.includes(error.code);
}

/** Reads nothing from the socket until {@link startReading}; a no-op on one that is closed. */
export function stopReading(socket: net.Socket): void {
  handleOf(socket)?.readStop();
}

/**
 * Goes on; a no-op on one that is closed. Where the other end does not read what is written to it, node:http2 reads nothing
 * either, and goes on by itself when it does: to read behind its back would make it keep, and copy, all that comes.
 */
export function startReading(socket: net.Socket): void {
  const handle = handleOf(socket);
  if (handle?.writeQueueSize === 0) handle.readStart();
}

function descriptorOf(socket: net.Socket): number {
  const fd = handleOf(socket)?.fd;
  if (typeof fd !== 'number' || fd < 0) throw new Error('the socket has no descriptor');
  return fd;
}

interface Handle {
  readonly fd?: unknown;
  /** Bytes that the other end has not made room for. */
  readonly writeQueueSize: number;
  readStart(): void;
  readStop(): void;
}

function handleOf(socket: net.Socket | net.Server): Handle | null | undefined {
  return (socket as unknown as { _handle?: Handle | null })._handle;
}
