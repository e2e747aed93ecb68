/** /proc/PID/exe: the program that a process runs. @see proc_pid_exe(5) */

import { isUtf8 } from 'node:buffer';
import fs from 'node:fs';
import { type FileIdentity, fileIdentity } from '../libc.ts';

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

/** Opens as the very file that the process runs, whatever its path means here. */
export function executableLink(pid: number): string {
  return `/proc/${pid}/exe`;
}

/**
 * A link is told as it is, nothing escaped. A deleted file's name ends in ` (deleted)`; a file that is really named so loses
 * its name too, which only denies.
 */
export function parseExecutablePath(link: Buffer): string | undefined {
  if (!isUtf8(link)) return undefined;
  const path = link.toString('utf8');
  return path.startsWith('/') && !path.endsWith(' (deleted)') ? path : undefined;
}
