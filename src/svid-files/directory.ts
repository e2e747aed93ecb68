/**
 * The directory that holds the files: checked, locked, and used only through its descriptor.
 *
 * Node has no openat(2); `/proc/self/fd/N/name` is resolved by the kernel from the open directory in the same way, so
 * that a directory that is exchanged meanwhile is not written to.
 */

import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, type Stats } from 'node:fs';
import {
  describeLoose,
  isOfType,
  type Loose,
  makePath,
  observer,
  octal,
  pathRemedy,
  pathRule,
  SidekeyError,
  walkPath,
} from '../base/index.ts';
import { tryLock } from '../lock/index.ts';
import type { FilesPlan } from './plan.ts';

const LOCK = '.sidekey.lock';
/** For missing directories, less the umask. */
const NEW_DIRECTORY_MODE = 0o755;

export interface OpenDirectory {
  /** The path of an entry, resolved from the open directory. */
  at(name: string): string;
  readonly fd: number;
  /** What is risky about it although it is allowed, for the log; undefined if nothing is. */
  readonly warning: string | undefined;
  /** True while the path still leads to this directory. */
  isCurrent(): boolean;
  /** Releases the lock, too. */
  close(): void;
}

type Place = Pick<FilesPlan, 'directory' | 'owner' | 'allowShared'>;

/**
 * Opens the directory, and creates it if it is missing. One process at a time can have it open.
 * @throws ERR_FILES if it is a symbolic link, belongs to another user, can be changed by others, or is in use
 */
export function openDirectory(place: Place): OpenDirectory {
  const { directory } = place;
  try {
    return open(place);
  } catch (thrown) {
    if (thrown instanceof SidekeyError) throw thrown;
    throw new SidekeyError('ERR_FILES', `${directory}: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

function open(place: Place): OpenDirectory {
  const { directory } = place;
  const warning = checkPath(place);
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  let lock: number | undefined;
  try {
    const opened = fstatSync(fd);
    checkOwner(place, opened);
    lock = openLock(place, `/proc/self/fd/${fd}/${LOCK}`);
    return {
      fd,
      warning,
      at: (name) => `/proc/self/fd/${fd}/${name}`,
      isCurrent: () => {
        const now = lstatSync(directory, { throwIfNoEntry: false });
        return now !== undefined && now.dev === opened.dev && now.ino === opened.ino;
      },
      close: () => {
        closeSync(lock!);
        closeSync(fd);
      },
    };
  } catch (thrown) {
    if (lock !== undefined) closeSync(lock);
    closeSync(fd);
    throw thrown;
  }
}

/** Checks every directory from / down to this one. @returns a warning */
function checkPath(place: Place): string | undefined {
  const { directory, owner, allowShared } = place;
  const me = observer();
  const there = lstatSync(directory, { throwIfNoEntry: false });
  if (there !== undefined && isOfType(there, constants.S_IFLNK)) {
    throw refusal(place, `it is a symbolic link to ${readlinkSync(directory)}; give the directory itself`);
  }
  if (there !== undefined && !there.isDirectory()) throw refusal(place, 'it is not a directory');
  if (there !== undefined) checkOwner(place, there);
  const walk = there === undefined ? makePath(directory, me, NEW_DIRECTORY_MODE) : walkPath(directory, me);
  // A user who gets the files anyway may as well own the way to them: the directory itself must then be that user's.
  const isOwners = ({ kind, uid, mode }: Loose) =>
    kind === 'foreign' && owner !== undefined && uid === owner.uid && (mode & 0o022) === 0;
  const loose = walk.loose.filter((one) => !isOwners(one));
  if (loose.length > 0) throw refusal(place, `${describeLoose(loose[0]!)}; ${pathRule(me.uid)}: ${pathRemedy(me.uid)}`);
  if (walk.missing.length > 0) {
    throw refusal(place, 'it does not exist, and is not created in a directory of another user: create it');
  }
  const { uid, mode } = lstatSync(directory);
  if (walk.loose.length > 0 && uid !== owner?.uid) {
    throw refusal(place, `it belongs to uid ${uid}, but it is reached through directories of uid ${owner?.uid}`);
  }
  if ((mode & 0o022) === 0) return undefined;
  const who = (mode & 0o002) === 0 ? 'its group' : 'everybody';
  const problem = `${directory} (mode ${octal(mode)}) can be written by ${who}, who could put other files in the place of these`;
  if (!allowShared) throw refusal(place, `${problem}; only its owner may have write access: chmod go-w it`);
  return problem;
}

function checkOwner(place: Place, { uid }: Stats): void {
  const me = process.geteuid!();
  if (uid === 0 || uid === me || uid === place.owner?.uid) return;
  const rule = `it must belong to root, uid ${me}${place.owner === undefined ? ', or the user of --owner' : ' or the owner of the files'}`;
  throw refusal(place, `it belongs to uid ${uid}; ${rule}`);
}

/** The lock has a file of its own: any user who can read a directory could lock that. */
function openLock(place: Place, file: string): number {
  // Not for writing, which would keep the file system from being made read-only.
  const flags = constants.O_RDONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const planted = () => refusal(place, `${LOCK} in it is not a file of this user; remove it`);
  const fd = openUnlinked(file, flags, planted);
  try {
    const stats = fstatSync(fd);
    const { uid, nlink } = stats;
    // Another name of a file of this user may be the lock of another program.
    if (!stats.isFile() || nlink > 1 || (uid !== process.geteuid!() && uid !== 0)) throw planted();
    if (!tryLock(fd)) throw refusal(place, 'another sidekey keeps its files here; give each a directory of its own');
    return fd;
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

/** Opens it, but not through a symbolic link. @param linked what is thrown then */
function openUnlinked(file: string, flags: number, linked: () => Error): number {
  try {
    return openSync(file, flags, 0o600);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ELOOP') throw linked();
    throw thrown;
  }
}

export function refusal({ directory }: { readonly directory: string }, problem: string): SidekeyError {
  return new SidekeyError('ERR_FILES', `${directory}: ${problem}`);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free some space',
  EDQUOT: 'the disk quota is used up; free some space',
  EROFS: 'the file system is read-only; mount it with write access, or give another directory',
  EACCES: 'this user may not write there; give it write access, or run as a user that has it',
  EPERM: 'the kernel does not permit it; to give files to another user takes CAP_CHOWN',
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of the path is not a directory',
};

/** A failed system call in words, with its path as the user knows it. */
export function reasonOf(thrown: unknown): string {
  const { code = '', message, syscall } = thrown as NodeJS.ErrnoException;
  const reason = REASONS[code];
  return reason === undefined ? message : `${reason} (${[code, syscall].filter(Boolean).join(' in ')})`;
}
