/** What /proc says of a process. @see proc_pid_status(5), proc_pid_exe(5) */

import { isUtf8 } from 'node:buffer';
import fs from 'node:fs';
import { SidekeyError } from '../base/errors.ts';
import { type FileIdentity, fileIdentity } from './libc.ts';

/** The members of /proc/PID/status that attestation reads; numbers as in this process's user namespace. */
export interface ProcessStatus {
  /** Effective. */
  readonly uid: number;
  /** Effective. */
  readonly gid: number;
  /** The supplementary groups, in the file's order. */
  readonly groups: readonly number[];
}

export function readStatus(pid: number): ProcessStatus {
  return parseStatus(readSmallFile(`/proc/${pid}/status`));
}

/**
 * The executable's absolute path, in the process's own mount namespace; undefined where it is no name that a selector
 * could mean: the file was deleted or replaced, or the name is not UTF-8. @throws ENOENT, ESRCH, EACCES
 */
export function readExecutablePath(pid: number): string | undefined {
  return parseExecutablePath(fs.readlinkSync(executableLink(pid), { encoding: 'buffer' }));
}

/** Which file the process runs. @throws ENOENT, ESRCH, EACCES */
export function readExecutableIdentity(pid: number): FileIdentity {
  return fileIdentity(executableLink(pid));
}

/** What /proc says; undefined where the process is not there or may not be looked at. */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Opens as the very file that the process runs, whatever its path means here. */
export function executableLink(pid: number): string {
  return `/proc/${pid}/exe`;
}

/** The kernel escapes line breaks in the name, so every line is the kernel's own. */
export function parseStatus(status: string): ProcessStatus {
  // Four numbers each: real, effective, saved, file system.
  const uid = /^Uid:\t\d+\t(\d+)\t/m.exec(status);
  const gid = /^Gid:\t\d+\t(\d+)\t/m.exec(status);
  const groups = /^Groups:\t?([\d ]*)$/m.exec(status);
  if (groups === null) throw new Error('status has no Groups');
  return {
    uid: requireNumber(uid?.[1], 'status has no Uid'),
    gid: requireNumber(gid?.[1], 'status has no Gid'),
    groups: (groups[1]!.match(/\d+/g) ?? []).map(Number),
  };
}

/** A deleted file's name ends in ` (deleted)`; a file that is really named so loses its name too, which only denies. */
export function parseExecutablePath(link: Buffer): string | undefined {
  if (!isUtf8(link)) return undefined;
  const path = link.toString('utf8');
  return path.startsWith('/') && !path.endsWith(' (deleted)') ? path : undefined;
}

/**
 * Makes sure that /proc shows the processes of this pid namespace: by the numbers of another one, a caller would be taken
 * for a stranger of the same number. @throws ERR_PROC
 */
export function checkProc(): void {
  let self: string;
  try {
    self = fs.readlinkSync('/proc/self');
  } catch (cause) {
    throw new SidekeyError('ERR_PROC', `/proc is not mounted here: ${(cause as Error).message}`, { cause });
  }
  if (self === String(process.pid)) return;
  const message = `/proc is that of another pid namespace: it calls this process ${self}, which is ${process.pid}`;
  throw new SidekeyError('ERR_PROC', `${message}; mount one of its own (unshare --mount-proc)`);
}

const scratch = Buffer.allocUnsafe(16 * 1024);

/**
 * Reads a file of /proc in one go, on the event loop: a turn of the thread pool would take ten times as long.
 *
 * That is safe for `status`, and for `exe` as a link: the kernel answers from memory, without the lock of the
 * process's address space (which `cmdline`, `environ` and `maps` take) and without asking the executable's file system:
 * a process that hangs, is stopped or was started from a dead mount can't make its reader wait.
 */
export function readSmallFile(path: string): string {
  const fd = fs.openSync(path, 'r');
  try {
    const length = fs.readSync(fd, scratch, 0, scratch.length, 0);
    // The kernel makes the text whole before it hands it out: what leaves room is all there is.
    if (length < scratch.length) return scratch.toString('latin1', 0, length);
  } finally {
    fs.closeSync(fd);
  }
  // As long as that is the status of a process in a thousand groups.
  return fs.readFileSync(path, 'latin1');
}

function requireNumber(text: string | undefined, problem: string): number {
  if (text === undefined || !/^\d+$/.test(text)) throw new Error(problem);
  return Number(text);
}
