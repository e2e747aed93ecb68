/**
 * The data directory: keys, the database, the admin token. Only its owner may access it (0700) and its contents, and only
 * one process at a time uses it.
 */

import { closeSync, constants, openSync } from 'node:fs';
import path from 'node:path';
import {
  checkPrivate,
  closeIfHarmless,
  describeLoose,
  isOfType,
  makePath,
  type Observer,
  observer,
  pathRemedy,
  pathRule,
  SidekeyError,
  type Walk,
  walkPath,
} from '../base/index.ts';
import { lockOwner, tryLock } from '../lock/index.ts';
import { removeCopy } from './backup.ts';
import { finishRestore } from './finish-restore.ts';

export interface DataDir {
  /** Absolute, without symbolic links, so that a later change of a link has no effect. */
  readonly path: string;
  /** The former mode of the directory if it was open to others and has now been closed; undefined if nothing was changed. */
  readonly closedFrom: number | undefined;
  /** Unlocks the directory for the next server. */
  release(): void;
}

const LOCK_FILE = 'lock';

/**
 * Opens the data directory at `place`; creates it and its parents (0700) if missing.
 *
 * @throws ERR_DATA_DIR with the remedy if the directory, one above it or a file in it is accessible to others or belongs
 *   to another user; ERR_DATA_DIR_IN_USE if another server uses it
 */
export function openDataDir(place: string): DataDir {
  try {
    const directory = makeDirectory(path.resolve(place));
    const closedFrom = closeIfHarmless(directory);
    checkPrivate(directory);
    const release = lock(directory);
    try {
      finishRestore(directory);
      removeCopy(directory);
    } catch (thrown) {
      release();
      throw thrown;
    }
    return { path: directory, closedFrom, release };
  } catch (thrown) {
    throw SidekeyError.from(thrown, 'ERR_DATA_DIR', `${place}: ${(thrown as Error).message}`);
  }
}

/** A data directory as it is, before a start. */
export interface DataDirState {
  /** Without symbolic links, if it exists. */
  readonly path: string;
  readonly exists: boolean;
  /** Whether a server uses the directory. */
  readonly isServed: boolean;
  /** The present mode of the directory if a start would close it to others; undefined if it is closed. */
  readonly closes: number | undefined;
}

/** Checks the data directory as {@link openDataDir} does, and changes nothing. @throws ERR_DATA_DIR */
export function inspectDataDir(place: string): DataDirState {
  try {
    const absolute = path.resolve(place);
    const walk = checked(walkPath(absolute, known(observer())));
    const exists = walk.missing.length === 0;
    const directory = exists ? walk.path : absolute;
    const closes = exists ? closeIfHarmless(directory, true) : undefined;
    if (exists && closes === undefined) checkPrivate(directory, true);
    return { path: directory, exists, isServed: exists && isLocked(directory), closes };
  } catch (thrown) {
    throw SidekeyError.from(thrown, 'ERR_DATA_DIR', `${place}: ${(thrown as Error).message}`);
  }
}

function isLocked(directory: string): boolean {
  let fd: number;
  try {
    fd = openSync(path.join(directory, LOCK_FILE), constants.O_RDWR | constants.O_NOFOLLOW);
  } catch {
    return false;
  }
  try {
    return !tryLock(fd);
  } finally {
    closeSync(fd);
  }
}

/** @throws Error if this process's files are not known to be its own */
function known(me: Observer): Observer {
  if (me.uid !== undefined) return me;
  throw new Error(
    `the user of this process has no number in its user namespace, so no file is known to be its own; run it as a user that has a number (unshare --map-current-user)`,
  );
}

/** @throws Error if others could change what the path leads to, or if it leads to something other than a directory */
function checked(walk: Walk): Walk {
  const [loose] = walk.loose;
  const { uid } = observer();
  if (loose !== undefined) throw new Error(`${describeLoose(loose)}; ${pathRule(uid)}: ${pathRemedy(uid)}`);
  if (walk.missing.length === 0 && !isOfType(walk.entry!, constants.S_IFDIR)) {
    throw new Error('something that is not a directory is in the way');
  }
  return walk;
}

/** Returns the path without symbolic links. */
function makeDirectory(place: string): string {
  return checked(makePath(place, known(observer()), 0o700)).path;
}

function lock(directory: string): () => void {
  const file = path.join(directory, LOCK_FILE);
  const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  let owner: number | undefined;
  let locked = false;
  try {
    locked = tryLock(fd);
    if (!locked) owner = lockOwner(fd);
  } finally {
    if (!locked) closeSync(fd);
  }
  if (!locked) {
    const who = owner === undefined ? 'another Sidekey' : `another Sidekey, process ${owner},`;
    const remedy = 'stop it, or give this server a directory of its own (--data-dir)';
    throw new SidekeyError('ERR_DATA_DIR_IN_USE', `${who} serves ${directory}; ${remedy}`);
  }
  let held = true;
  return () => {
    if (held) closeSync(fd);
    held = false;
  };
}
