/** The kernel's lock on an open file, which ends with the process however that ends. */

import koffi from 'koffi';

const flock = koffi.load(null).func('int flock(int fd, int operation)');

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Takes the lock of `fd` for as long as it is open; false where another open file has it, in this process or another.
 * Node opens files close-on-exec, so a child never keeps the lock. @see flock(2)
 */
export function tryLock(fd: number): boolean {
  if (flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const errno = koffi.errno();
  if (errno === koffi.os.errno.EWOULDBLOCK) return false;
  throw new Error(`flock: errno ${errno}`);
}
