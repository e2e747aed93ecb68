/** Signals the process that a pid file names. A file that another user could have written must not make root signal anything. */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import path from 'node:path';
import { pinProcess } from '../attest/index.ts';
import { describeLoose, OPEN_INPUT, observer, octal, readRegular, walkPath } from '../base/index.ts';

/** postmaster.pid of PostgreSQL has further lines. */
const MAX_BYTES = 4_096;

/**
 * Sends the signal to the process whose pid is the file's first line. The file must belong to root, to this user, or to
 * the user that the process runs as, and nobody else may have write access to it.
 * @returns the pid
 * @throws Error with the file, the problem and the rule
 */
export function signalByPidFile(file: string, signal: NodeJS.Signals): number {
  const { pid, uid } = readPidFile(file);
  const target = pinOf(file, pid);
  try {
    checkTarget(file, uid, pid, target.users);
    target.signal(signal);
  } catch (thrown) {
    const { code } = thrown as { code?: string };
    if (code === 'EPERM') throw new Error(`${file}: this user may not signal process ${pid} (uid ${target.users[0]})`);
    if (code === 'ESRCH') throw new Error(`${file}: process ${pid} has ended`);
    throw thrown;
  } finally {
    target.close();
  }
  return pid;
}

function readPidFile(file: string): { readonly pid: number; readonly uid: number } {
  let fd: number;
  try {
    fd = openSync(file, OPEN_INPUT | constants.O_NOFOLLOW);
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new Error(`${file}: there is no such pid file`);
    if (code === 'ELOOP') throw new Error(`${file} is a symbolic link; give the pid file itself`);
    throw new Error(`${file}: ${message}`);
  }
  try {
    const stats = fstatSync(fd);
    const { uid, mode, nlink } = stats;
    if (!stats.isFile()) throw new Error(`${file} is not a regular file`);
    if ((mode & 0o022) !== 0) throw new Error(`${file} (mode ${octal(mode)}) can be written by others: chmod go-w it`);
    // A hard link of a foreign file could be in the place of the pid file.
    if (nlink > 1) throw new Error(`${file} has ${nlink} names; a pid file has one`);
    const text = readRegular(fd, MAX_BYTES).toString('utf8').split('\n', 1)[0]!.trim();
    if (!/^[1-9]\d{0,9}$/.test(text) || Number(text) === process.pid) {
      throw new Error(`${file}: the first line is not the pid of another process`);
    }
    return { pid: Number(text), uid };
  } finally {
    closeSync(fd);
  }
}

function pinOf(file: string, pid: number): ReturnType<typeof pinProcess> {
  try {
    return pinProcess(pid);
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === 'ESRCH') throw new Error(`${file}: there is no process ${pid}`);
    throw new Error(`${file}: the user of process ${pid} is not known: ${message}`);
  }
}

/** @throws Error if the writer of the file may have no power over the process */
function checkTarget(file: string, owner: number, pid: number, users: readonly number[]): void {
  // A user may always name processes of its own. Root's daemons act as other users for a while, and stay root's.
  const user = users.find((one) => one !== owner);
  if (user === undefined) return;
  const me = observer();
  if (owner !== 0 && owner !== me.uid) {
    const rule = 'it must belong to the user of the process, to root, or to this user';
    throw new Error(`${file} belongs to uid ${owner}, but process ${pid} to uid ${user}; ${rule}`);
  }
  // Another user who could exchange the file could put one of root's in its place.
  const [loose] = walkPath(path.resolve(file), me).loose;
  if (loose !== undefined) throw new Error(`${file}: ${describeLoose(loose)}`);
}
