/**
 * The data directory: keys, the database, the admin token. It is 0700 and what is in it is closed to everybody else;
 * one process serves it at a time.
 */

import { closeSync, constants, mkdirSync, openSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { SidekeyError } from './errors.ts';
import { tryLock } from './flock.ts';
import { checkPrivate } from './privacy.ts';
import { shellQuote } from './shell.ts';

export interface DataDir {
  /** Absolute, without symbolic links: what a link points to later changes nothing. */
  readonly path: string;
  /** Gives the directory to the next server. */
  release(): void;
}

const LOCK_FILE = 'lock';

/**
 * Opens the data directory at `place`, made with its parents (0700) where it is missing.
 *
 * @throws ERR_DATA_DIR when it or a file in it is open to others or somebody else's, with the commands that mend it;
 * ERR_DATA_DIR_IN_USE when another server has it
 */
export function openDataDir(place: string): DataDir {
  try {
    mkdirSync(place, { recursive: true, mode: 0o700 });
    const directory = realpathSync(place);
    checkPrivate(directory);
    return { path: directory, release: lock(directory) };
  } catch (thrown) {
    throw SidekeyError.from(thrown, 'ERR_DATA_DIR', `${place}: ${(thrown as Error).message}`);
  }
}

function lock(directory: string): () => void {
  const file = path.join(directory, LOCK_FILE);
  const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  let locked = false;
  try {
    locked = tryLock(fd);
  } finally {
    if (!locked) closeSync(fd);
  }
  if (!locked) {
    const who = `fuser ${shellQuote(file)}`;
    throw new SidekeyError('ERR_DATA_DIR_IN_USE', `another sidekey serves ${directory}; \`${who}\` says which process`);
  }
  let held = true;
  return () => {
    if (held) closeSync(fd);
    held = false;
  };
}
