/** /proc/PID/exe: the program that a process runs. @see proc_pid_exe(5) */

import { isUtf8 } from 'node:buffer';
import fs from 'node:fs';
import { type FileIdentity, fileIdentity } from '../libc.ts';

/** The path of an executable, from the kernel. */
export interface ExecutablePath {
  /**
   * Absolute, in the process's mount namespace. Undefined if a selector can't express it: the file was deleted or
   * replaced, or the name is not UTF-8.
   */
  readonly path: string | undefined;
  /** The former path, if the file was deleted or replaced. */
  readonly replaced: string | undefined;
}

/** @throws ENOENT, ESRCH, EACCES */
export function readExecutablePath(pid: number): ExecutablePath {
  return parseExecutablePath(fs.readlinkSync(executableLink(pid), { encoding: 'buffer' }));
}

/** The identity of the file that the process runs. @throws ENOENT, ESRCH, EACCES */
export function readExecutableIdentity(pid: number): FileIdentity {
  return fileIdentity(executableLink(pid));
}

/** A path that opens the file that the process runs, even if the file was replaced or is in another mount namespace. */
export function executableLink(pid: number): string {
  return `/proc/${pid}/exe`;
}

const DELETED = ' (deleted)';
/** Prefix for files made by memfd_create(2), which have no path. */
const IN_MEMORY = '/memfd:';

/**
 * Parses the target of the link. The kernel escapes nothing, and adds ` (deleted)` to the name of a deleted file. A
 * file whose name really ends like this counts as deleted, so its processes have no `unix:path`.
 */
export function parseExecutablePath(link: Buffer): ExecutablePath {
  const text = isUtf8(link) ? link.toString('utf8') : '';
  if (!text.startsWith('/')) return { path: undefined, replaced: undefined };
  if (!text.endsWith(DELETED)) return { path: text, replaced: undefined };
  const replaced = text.startsWith(IN_MEMORY) ? undefined : text.slice(0, -DELETED.length);
  return { path: undefined, replaced };
}
