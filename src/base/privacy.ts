/** What closes the data directory to everybody but its owner. */

import { lstatSync, mkdtempSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { SidekeyError } from './errors.ts';
import { shellQuote } from './shell.ts';

const GROUP_AND_OTHERS = 0o077;

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

/** @throws ERR_DATA_DIR with the commands that mend it, when the directory or a file in it is open to others or somebody else's */
export function checkPrivate(directory: string): void {
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
