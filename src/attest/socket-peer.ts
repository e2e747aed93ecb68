/**
 * Connected Unix sockets: finds the process at the other end, and pauses reading.
 *
 * Node has no public API for a socket's descriptor, or to stop reading from a socket that node:http2 has taken over. So
 * this file uses `_handle`, the only private API of Node that Sidekey uses.
 */

import fs from 'node:fs';
import net from 'node:net';
import { SidekeyError } from '../base/index.ts';
import {
  acceptConnection,
  bootTicks,
  hasEnded,
  peerPidfd,
  pidfdOpen,
  readCredentials,
  readGroups,
  SystemCallError,
} from './libc.ts';
import { readStat } from './proc/stat.ts';
import { readStatus } from './proc/status.ts';
import type { PeerCredentials } from './types.ts';

/** The pid, effective uid and effective gid of the process that connected, as of the connect. */
export function peerCredentials(socket: net.Socket): PeerCredentials {
  return readCredentials(descriptorOf(socket));
}

/**
 * Accepts waiting connections until none is left or `admit` returns false. Node itself accepts one per turn of the
 * event loop, so one fast caller could fill the backlog, and the kernel would refuse others. No socket of Node is made,
 * so refusing a connection costs only three system calls.
 * @param admit takes the descriptor and must pass it to {@link openAccepted} or {@link refuseAccepted}
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
 * The supplementary groups of the process that connected, as of the connect. If there are more than `limit`, only their
 * number. Undefined before Linux 4.13.
 */
export function peerGroups(socket: net.Socket, limit: number): ReturnType<typeof readGroups> | undefined {
  try {
    return readGroups(descriptorOf(socket), limit);
  } catch (error) {
    if (hasCode(error, 'ENOPROTOOPT')) return undefined;
    throw error;
  }
}

/** A pidfd of the process that connected; undefined if the process was reaped. */
export function openPeerPidfd(socket: net.Socket): number | undefined {
  try {
    return peerPidfd(descriptorOf(socket));
  } catch (error) {
    if (hasCode(error, 'EINVAL', 'ESRCH')) return undefined;
    throw error;
  }
}

/**
 * Opens a pidfd by pid, for Linux before 6.5. Call it immediately after the accept. The process must have the user and
 * group of the one that connected, and must have started before the accept.
 *
 * Remaining risk: the kernel does not report when a process connected. If the caller ends before the accept, and a
 * process of the same user and group gets its pid, that process is mistaken for the caller.
 *
 * @param accepted the time of the accept or a little later, in {@link bootTicks}
 * @returns undefined if no process has the pid any more
 * @throws ERR_PEER_CHANGED if the process is not the one that connected, or may have started later
 */
export function openPeerPidfdByPid(socket: net.Socket, accepted: number = bootTicks()): number | undefined {
  const { pid, uid, gid } = readCredentials(descriptorOf(socket));
  const pidfd = openPidfdByPid(pid);
  if (pidfd === undefined) return undefined;
  try {
    const { startTicks } = readStat(pid);
    const status = readStatus(pid);
    // Afterwards: if the process is alive now, its pid was not reused while /proc was read.
    if (!hasEnded(pidfd)) {
      if (status.uid !== uid || status.gid !== gid) throw reused(pid, 'has another user or group than the caller');
      // Equal is refused too: ticks do not show the order within a hundredth of a second.
      if (startTicks >= accepted) throw reused(pid, 'did not start before its connection was accepted');
      return pidfd;
    }
  } catch (error) {
    fs.closeSync(pidfd);
    if (isReaped(error)) return undefined;
    throw error;
  }
  fs.closeSync(pidfd);
  return undefined;
}

function reused(pid: number, how: string): SidekeyError {
  return new SidekeyError('ERR_PEER_CHANGED', `process ${pid} ${how}: the pid may have been reused`);
}

/** True if reading /proc/PID failed because the process was reaped. */
function isReaped(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH';
}

/** A pidfd of the process that has this pid now; undefined if there is none. @throws SystemCallError */
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

/** Stops reading from the socket until {@link startReading}. Does nothing if the socket is closed. */
export function stopReading(socket: net.Socket): void {
  handleOf(socket)?.readStop();
}

/**
 * Resumes reading. Does nothing if the socket is closed. While writes are backed up, node:http2 manages reads; resuming
 * then would make it buffer and copy everything that arrives.
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
  /** The number of bytes that wait to be written. */
  readonly writeQueueSize: number;
  readStart(): void;
  readStop(): void;
}

function handleOf(socket: net.Socket | net.Server): Handle | null | undefined {
  return (socket as unknown as { _handle?: Handle | null })._handle;
}
