/**
 * A connected Unix socket: who is on the other end, by the kernel's word, and whether it is read from.
 *
 * Node has no public way to a socket's descriptor, nor one to stop reading from a socket that node:http2 has taken over:
 * `_handle` is the one private thing that Sidekey touches, here and nowhere else.
 */

import fs from 'node:fs';
import net from 'node:net';
import { acceptConnection, peerPidfd, pidfdOpen, peerCredentials as readCredentials, SystemCallError } from './libc.ts';
import type { PeerCredentials } from './types.ts';

/** The process that connected, as it was then: its pid, effective uid and gid. */
export function peerCredentials(socket: net.Socket): PeerCredentials {
  return readCredentials(descriptorOf(socket));
}

/** A connection that was accepted and is no socket of Node's yet. */
export interface Accepted {
  readonly credentials: PeerCredentials;
  /** To call this or {@link Accepted.close}. */
  open(): net.Socket;
  close(): void;
}

/**
 * The next connection that waits; undefined where none does. Node accepts one in each turn of its event loop: a caller
 * that connects faster than that would fill the backlog, and others would be turned away by the kernel.
 * @throws SystemCallError EMFILE, …
 */
export function acceptNext(server: net.Server): Accepted | undefined {
  const listener = handleOf(server)?.fd;
  const fd = typeof listener === 'number' && listener >= 0 ? acceptConnection(listener) : undefined;
  if (fd === undefined) return undefined;
  const close = () => fs.closeSync(fd);
  try {
    return { credentials: readCredentials(fd), open: () => new net.Socket({ fd }), close };
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * A pidfd of the process that connected, so that its pid can't come to mean another one; undefined once it was reaped.
 *
 * Before Linux 6.5 the pid has to do: between connecting and being accepted the process could end and its pid be taken
 * by another one, of the same uid and gid as the caller checks.
 */
export function openPeerPidfd(socket: net.Socket, pid: number): number | undefined {
  try {
    return peerPidfd(descriptorOf(socket));
  } catch (error) {
    if (hasCode(error, 'EINVAL', 'ESRCH')) return undefined;
    if (!hasCode(error, 'ENOPROTOOPT')) throw error;
  }
  return openPidfdByPid(pid);
}

/** The way before SO_PEERPIDFD; undefined where no process has the pid. */
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
