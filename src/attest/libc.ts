/**
 * System calls for which Node has no function. Only this file of the room uses koffi.
 *
 * Constants and layouts are those of Linux on x86-64 and arm64. Close the returned descriptors with `fs.closeSync`;
 * child processes do not inherit them. Buffers are reused, because each call has finished before the next one.
 */

import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import type { FileStat } from '../base/index.ts';
import type { PeerCredentials } from './types.ts';

const libc = koffi.load(null);
const c = {
  getsockopt: libc.func('int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)'),
  accept: libc.func('int accept4(int fd, void *address, void *length, int flags)'),
  socketpair: libc.func('int socketpair(int domain, int type, int protocol, _Out_ int *pair)'),
  clockGettime: libc.func('int clock_gettime(int clock, _Out_ int64_t *time)'),
  poll: libc.func('int poll(_Inout_ uint8_t *fds, unsigned long count, int timeout)'),
  statx: libc.func('int statx(int dir, const char *path, int flags, unsigned int mask, _Out_ uint8_t *result)'),
  syscall: libc.func('long syscall(long number, long first, long second)'),
  syscall4: libc.func('long syscall(long number, long first, long second, void *third, long fourth)'),
  eventfd: libc.func('int eventfd(unsigned int value, int flags)'),
  epollCreate: libc.func('int epoll_create1(int flags)'),
  epollControl: libc.func('int epoll_ctl(int epoll, int operation, int fd, uint8_t *event)'),
  epollWait: libc.func('int epoll_wait(int epoll, _Out_ uint8_t *events, int count, int timeout)'),
};

/** A failed system call; `code` is the name of the errno: `ESRCH`. */
export class SystemCallError extends Error {
  readonly code: string;
  constructor(call: string, errno: number) {
    const code = getSystemErrorName(-errno);
    super(`${call}: ${code}`);
    this.name = 'SystemCallError';
    this.code = code;
  }
}

function check(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, koffi.errno());
  return result;
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_PEERGROUPS = 59;
const SO_PEERPIDFD = 77;

const ucred = Buffer.alloc(12);
const pidfdOption = Buffer.alloc(4);
/** Replaced by a larger one when a process has more groups. */
let groupsOption = new Uint32Array(32);
const optionLength = new Uint32Array(1);

/** The process that opened the other end of a Unix socket. @see unix(7), SO_PEERCRED */
export function readCredentials(fd: number): PeerCredentials {
  readOption(fd, SO_PEERCRED, 'SO_PEERCRED', ucred);
  return { pid: ucred.readInt32LE(0), uid: ucred.readUInt32LE(4), gid: ucred.readUInt32LE(8) };
}

/**
 * A pidfd of the process that opened the other end (since Linux 6.5).
 * @throws EINVAL, ESRCH if it was reaped; ENOPROTOOPT
 */
export function peerPidfd(fd: number): number {
  readOption(fd, SO_PEERPIDFD, 'SO_PEERPIDFD', pidfdOption);
  return pidfdOption.readInt32LE(0);
}

/**
 * The supplementary groups that the process had when it opened the other end (since Linux 4.13), in the kernel's order.
 * If there are more than `limit`, only their number. @throws ENOPROTOOPT on older kernels
 */
export function readGroups(fd: number, limit: number): number[] | { readonly count: number } {
  for (;;) {
    optionLength[0] = groupsOption.byteLength;
    const result = c.getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groupsOption, optionLength);
    const count = optionLength[0] / Uint32Array.BYTES_PER_ELEMENT;
    const isTooSmall = result < 0 && koffi.errno() === constants.errno.ERANGE;
    if (!isTooSmall) check('getsockopt SO_PEERGROUPS', result);
    if (count > limit) return { count };
    if (!isTooSmall) return Array.from(groupsOption.subarray(0, count));
    groupsOption = new Uint32Array(count);
  }
}

function readOption(fd: number, option: number, name: string, value: Buffer): void {
  optionLength[0] = value.length;
  check(`getsockopt ${name}`, c.getsockopt(fd, SOL_SOCKET, option, value, optionLength));
  // The remaining bytes would be those of an earlier call.
  if (optionLength[0] !== value.length) throw new Error(`${name} has ${optionLength[0]} bytes, not ${value.length}`);
}

const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;

/** Accepts a waiting connection of a non-blocking socket; undefined if none waits. @throws EMFILE, ENFILE, … */
export function acceptConnection(fd: number): number | undefined {
  const accepted = c.accept(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted >= 0) return accepted;
  const errno = koffi.errno();
  if (errno === constants.errno.EAGAIN || errno === constants.errno.ECONNABORTED) return undefined;
  throw new SystemCallError('accept4', errno);
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;

/** Two Unix sockets, connected to each other. */
export function socketPair(): [number, number] {
  const pair = new Int32Array(2);
  check('socketpair', c.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  return [pair[0]!, pair[1]!];
}

const CLOCK_BOOTTIME = 7;
/** A `struct timespec`. */
const timespec = new BigInt64Array(2);

/** The time since boot in hundredths of a second, the unit of /proc/PID/stat, rounded down. */
export function bootTicks(): number {
  check('clock_gettime', c.clockGettime(CLOCK_BOOTTIME, timespec));
  return Number(timespec[0]! * 100n + timespec[1]! / 10_000_000n);
}

const SYS_PIDFD_OPEN = 434;

/** A pidfd of the process that has this pid now. @throws ESRCH if there is none */
export function pidfdOpen(pid: number): number {
  return check('pidfd_open', Number(c.syscall(SYS_PIDFD_OPEN, pid, 0)));
}

const SYS_PIDFD_SEND_SIGNAL = 424;

/** Sends a signal, by its number, to the process of a pidfd. @throws ESRCH if it has ended; EPERM */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  check('pidfd_send_signal', Number(c.syscall4(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, null, 0)));
}

const POLLIN = 1;
/** A `struct pollfd`. */
const pollFd = Buffer.alloc(8);

/** True once the process of a pidfd has ended, whether or not it was reaped. @see pidfd_open(2) */
export function hasEnded(pidfd: number): boolean {
  pollFd.writeInt32LE(pidfd, 0);
  pollFd.writeInt16LE(POLLIN, 4);
  let ready = c.poll(pollFd, 1, 0);
  // A signal, such as a profiler's, can interrupt even a poll with timeout 0.
  while (ready < 0 && koffi.errno() === constants.errno.EINTR) ready = c.poll(pollFd, 1, 0);
  return check('poll', ready) !== 0;
}

const AT_FDCWD = -100;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_MTIME = 0x40;
const STATX_CTIME = 0x80;
const STATX_INO = 0x100;
const STATX_SIZE = 0x200;

/** A file's status. */
export interface FileStatus extends FileStat {
  /**
   * True if the file is on a block device of this machine, so that only this kernel changes it and its cached status is
   * correct. False for network and FUSE file systems, but also for overlay, btrfs and tmpfs.
   */
  readonly onBlockDevice: boolean;
}

/**
 * The status of a file as cached by the kernel. A network or FUSE file system is not asked, because it could block the
 * whole process. @throws ENOENT, ESRCH, EACCES, …
 */
export function fileStatus(path: string): FileStatus {
  const mask = STATX_INO | STATX_SIZE | STATX_CTIME | STATX_MTIME;
  const statx = statusOf(path, mask);
  const [major, minor] = [statx.readUInt32LE(136), statx.readUInt32LE(140)];
  return {
    // As makedev(3) for the kernel's 12 bits of major and 20 bits of minor.
    dev: BigInt((minor >>> 8) * 2 ** 20 + major * 2 ** 8 + (minor & 0xff)),
    ino: statx.readBigUInt64LE(32),
    size: statx.readBigUInt64LE(40),
    mtimeNs: nanoseconds(statx, 112),
    ctimeNs: nanoseconds(statx, 96),
    // A file system without a block device gets an anonymous device number with major 0.
    onBlockDevice: major !== 0 && (statx.readUInt32LE(0) & mask) === mask,
  };
}

/** Device and inode, which identify a file among all that exist at the time. */
export interface FileIdentity {
  readonly major: number;
  readonly minor: number;
  /** The lower and the upper 32 bits. */
  readonly inode: number;
  readonly inodeAbove: number;
}

/**
 * The identity of a file, read as by {@link fileStatus}. Without bigints, because it is read before each key is sent.
 */
export function fileIdentity(path: string): FileIdentity {
  const statx = statusOf(path, STATX_INO);
  return {
    major: statx.readUInt32LE(136),
    minor: statx.readUInt32LE(140),
    inode: statx.readUInt32LE(32),
    inodeAbove: statx.readUInt32LE(36),
  };
}

export function areSameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.inode === b.inode && a.inodeAbove === b.inodeAbove && a.major === b.major && a.minor === b.minor;
}

/** A `struct statx`. */
const statxBuffer = Buffer.alloc(256);

/** The result is valid until the next call. */
function statusOf(path: string, mask: number): Buffer {
  check('statx', c.statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, mask, statxBuffer));
  return statxBuffer;
}

/** A `struct statx_timestamp`. */
function nanoseconds(statx: Buffer, at: number): bigint {
  return statx.readBigInt64LE(at) * 1_000_000_000n + BigInt(statx.readUInt32LE(at + 8));
}

const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;

/** An eventfd, which becomes readable when a non-zero 64-bit number is written to it. */
export function eventfd(): number {
  return check('eventfd', c.eventfd(0, O_CLOEXEC | O_NONBLOCK));
}

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
/** `struct epoll_event` is packed on x86-64 only. */
const EVENT = process.arch === 'x64' ? { size: 12, data: 4 } : { size: 16, data: 8 };

export function epollCreate(): number {
  return check('epoll_create1', c.epollCreate(O_CLOEXEC));
}

/** Adds a descriptor. When it is readable, {@link epollWait} returns its `token` (32 bits). */
export function epollAdd(epoll: number, fd: number, token: number): void {
  const event = Buffer.alloc(EVENT.size);
  event.writeUInt32LE(EPOLLIN, 0);
  event.writeUInt32LE(token, EVENT.data);
  check('epoll_ctl', c.epollControl(epoll, EPOLL_CTL_ADD, fd, event));
}

export function epollDelete(epoll: number, fd: number): void {
  check('epoll_ctl', c.epollControl(epoll, EPOLL_CTL_DEL, fd, null));
}

/** Waits for readable descriptors on a thread of libuv's pool, without a time limit; resolves to their tokens. */
export function epollWait(epoll: number): Promise<number[]> {
  const events = Buffer.alloc(EVENT.size * 64);
  return new Promise((resolve, reject) => {
    c.epollWait.async(epoll, events, 64, -1, (error: Error | null, count: number) => {
      if (error !== null) return reject(error);
      // A negative count means EINTR, the only possible error with valid arguments. The caller waits again.
      resolve(Array.from({ length: Math.max(count, 0) }, (_, at) => events.readUInt32LE(at * EVENT.size + EVENT.data)));
    });
  });
}
