/**
 * The data directory: keys, the database, the admin token. It is 0700 and what is in it is closed to everybody else;
 * one process serves it at a time.
 */

import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  realpathSync,
  rmdirSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { SidekeyError } from './errors.ts';
import { tryLock } from './flock.ts';
import { shellQuote } from './shell.ts';

export interface DataDir {
  /** Absolute, without symbolic links: what a link points to later changes nothing. */
  readonly path: string;
  /** Gives the directory to the next server. */
  release(): void;
}

const LOCK_FILE = 'lock';
const GROUP_AND_OTHERS = 0o077;

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

/** What stands in the way of privacy, by what mends it. */
interface Faults {
  readonly wideDirectories: string[];
  readonly wideFiles: string[];
  readonly foreign: string[];
}

/** The commands that close a data directory, and what is in it, to everybody but `owner`; none where it is. */
export function privacyCommands(directory: string, owner: number): string[] {
  return commandsFor(faultsOf(directory, owner), owner);
}

function faultsOf(directory: string, owner: number): Faults {
  const faults: Faults = { wideDirectories: [], wideFiles: [], foreign: [] };
  inspect(directory, owner, faults);
  return faults;
}

function commandsFor(faults: Faults, owner: number): string[] {
  return [
    command(`chown ${owner}`, faults.foreign),
    command('chmod 700', faults.wideDirectories),
    command('chmod 600', faults.wideFiles),
  ].filter((line) => line !== undefined);
}

function checkPrivate(directory: string): void {
  const owner = process.geteuid!();
  const faults = faultsOf(directory, owner);
  const mending = commandsFor(faults, owner);
  if (mending.length === 0) return;
  if (faults.foreign.length === 0 && !keepsModes(directory)) {
    throw new SidekeyError(
      'ERR_DATA_DIR',
      `the filesystem of ${directory} does not keep file modes, so keys in it are open to others; ` +
        'put the data directory on one that does (ext4, xfs, btrfs, tmpfs)',
    );
  }
  throw new SidekeyError(
    'ERR_DATA_DIR',
    `the data directory ${directory} is not closed to others; mend it with:\n${mending.map((line) => `  ${line}`).join('\n')}`,
  );
}

function inspect(item: string, owner: number, faults: Faults): void {
  // Through symbolic links: what counts is the file that holds the bytes.
  const stats = statSync(item, { throwIfNoEntry: false });
  if (stats === undefined) return;
  const ours = stats.uid === owner;
  if (!ours) faults.foreign.push(item);
  if ((stats.mode & GROUP_AND_OTHERS) !== 0)
    (stats.isDirectory() ? faults.wideDirectories : faults.wideFiles).push(item);
  if (!ours || !stats.isDirectory() || lstatSync(item).isSymbolicLink()) return;
  for (const name of readdirSync(item)) inspect(path.join(item, name), owner, faults);
}

function command(name: string, items: readonly string[]): string | undefined {
  return items.length === 0 ? undefined : `${name} ${items.map(shellQuote).join(' ')}`;
}

/** Whether modes have an effect here: on vfat and some network mounts they have none. */
function keepsModes(directory: string): boolean {
  const probe = mkdtempSync(path.join(directory, '.modes-'));
  try {
    return (statSync(probe).mode & GROUP_AND_OTHERS) === 0;
  } finally {
    rmdirSync(probe);
  }
}
