/** The kernel's lock on an open file. It is no leaf of base, because it loads native code. */

export { lockOwner, tryLock } from './flock.ts';
