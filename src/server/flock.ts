/** The kernel's lock on an open file, which is released when the process ends for any reason. */

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
