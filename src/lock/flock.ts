/** The kernel's lock on an open file, which is released when the process ends for any reason. */

import { fstatSync, readFileSync } from 'node:fs';
import koffi from 'koffi';

const flock = koffi.load(null).func('int flock(int fd, int operation)');

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Locks `fd` until it is closed; returns false if another open file (of any process) has the lock. Node opens files
 * close-on-exec, so child processes do not inherit the lock. @see flock(2)
 */
export function tryLock(fd: number): boolean {
  if (flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const errno = koffi.errno();
  if (errno === koffi.os.errno.EWOULDBLOCK) return false;
  throw new Error(`flock: errno ${errno}`);
}

/**
 * The process that has locked the file of `fd`, by the kernel's list. fuser(1) does not find it: only root may look at the
 * descriptors of a server, which is not dumpable. Undefined if that process is outside this pid namespace, or the list
 * can't be read. @see proc_locks(5)
 */
export function lockOwner(fd: number): number | undefined {
  const inode = fstatSync(fd).ino;
  let list: string;
  try {
    list = readFileSync('/proc/locks', 'latin1');
  } catch {
    return undefined;
  }
  // Compares only the inode: on overlayfs and btrfs the device in the list is not the one that stat(2) returns.
  const pids = list.split('\n').flatMap((line) => {
    const [, pid, ino] = /^\d+: FLOCK +ADVISORY +WRITE +(\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line) ?? [];
    return Number(ino) === inode ? [Number(pid)] : [];
  });
  return pids.length === 1 ? pids[0] : undefined;
}
