/** /proc/PID/exe: the program that a process runs. @see proc_pid_exe(5) */

import { isUtf8 } from 'node:buffer';
import fs from 'node:fs';
import { type FileIdentity, fileIdentity } from '../libc.ts';

/** Where the executable is, by the kernel's word. */
export interface ExecutablePath {
  /**
   * Absolute, in the process's own mount namespace; undefined where it is no name that a selector could mean: the file was
   * deleted or replaced, or the name is not UTF-8.
   */
  readonly path: string | undefined;
  /** The path that it had before it was deleted or replaced; undefined where it was not, or never had one. */
  readonly replaced: string | undefined;
}

/** @throws ENOENT, ESRCH, EACCES */
export function readExecutablePath(pid: number): ExecutablePath {
  return parseExecutablePath(fs.readlinkSync(executableLink(pid), { encoding: 'buffer' }));
}

/** Which file the process runs. @throws ENOENT, ESRCH, EACCES */
export function readExecutableIdentity(pid: number): FileIdentity {
  return fileIdentity(executableLink(pid));
}

/** Opens as the very file that the process runs, whatever its path means here. */
export function executableLink(pid: number): string {
  return `/proc/${pid}/exe`;
}

const DELETED = ' (deleted)';
/** Made by memfd_create(2): never was at a path. */
const IN_MEMORY = '/memfd:';

/**
 * A link is told as it is, nothing escaped. A deleted file's name ends in ` (deleted)`; a file that is really named so loses
 * its name too, which only denies.
 */
export function parseExecutablePath(link: Buffer): ExecutablePath {
  const text = isUtf8(link) ? link.toString('utf8') : '';
  if (!text.startsWith('/')) return { path: undefined, replaced: undefined };
  if (!text.endsWith(DELETED)) return { path: text, replaced: undefined };
  const replaced = text.startsWith(IN_MEMORY) ? undefined : text.slice(0, -DELETED.length);
  return { path: undefined, replaced };
}
