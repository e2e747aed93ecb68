/**
 * Checks that only the owner of the data directory can read and write it: modes, owners, and no links that lead
 * elsewhere.
 *
 * If others could only read a file, the message has a command that closes it. If others could have created or changed a
 * file, it has none: changing owner or mode would make a planted authority trusted, and chmod and chown follow symbolic
 * links.
 */

import { constants, lstatSync, mkdtempSync, readdirSync, rmdirSync, type Stats } from 'node:fs';
import path from 'node:path';
import { SidekeyError } from './errors.ts';
import { isShownWhole, shellQuote } from './shell.ts';
import { isOfType, octal } from './trusted-path.ts';

const GROUP_AND_OTHERS = 0o077;
const GROUP_AND_OTHERS_WRITE = 0o022;

/** The violations found in a directory. */
export interface PrivacyFaults {
  /** Files and directories of the owner that others may read or enter, but not write. */
  readonly readable: readonly string[];
  /** Files and directories that another user may have created or changed, with the reason. */
  readonly suspect: readonly Suspect[];
}

export interface Suspect {
  readonly place: string;
  readonly problem: string;
}

/** Checks a directory and everything in it, without following symbolic links. @param owner the uid of the server */
export function privacyFaults(directory: string, owner: number): PrivacyFaults {
  const readable: string[] = [];
  const suspect: Suspect[] = [];
  const inspect = (place: string): void => {
    const stats = lstatSync(place, { throwIfNoEntry: false });
    if (stats === undefined) return;
    const problem = suspicion(stats, owner);
    if (problem !== undefined) {
      suspect.push({ place, problem });
      return;
    }
    const names = stats.isDirectory() ? readdirSync(place) : [];
    if ((stats.mode & GROUP_AND_OTHERS_WRITE) !== 0 && names.length > 0) {
      suspect.push({ place, problem: `others can write in it (mode ${octal(stats.mode)}), and it is not empty` });
    } else if ((stats.mode & GROUP_AND_OTHERS) !== 0) readable.push(place);
    for (const name of names) inspect(path.join(place, name));
  };
  inspect(directory);
  return { readable, suspect };
}

/** Why another user may have created or changed it; undefined if only the owner can have. */
function suspicion(stats: Stats, owner: number): string | undefined {
  const { uid, mode, nlink } = stats;
  if (stats.isSymbolicLink()) return 'it is a symbolic link, which Sidekey never makes here';
  if (uid !== owner) return `it belongs to uid ${uid}, not to uid ${owner}, who runs Sidekey`;
  if (stats.isDirectory()) return undefined;
  // A server that is killed during its start leaves a socket with two names; a socket has no content.
  if (isOfType(stats, constants.S_IFSOCK)) return undefined;
  if (!stats.isFile()) return 'it is neither a file, a directory nor a socket';
  if (nlink > 1) return `it has ${nlink} hard links, and other users may have access to the other ones`;
  if ((mode & GROUP_AND_OTHERS_WRITE) !== 0) return `others can write it (mode ${octal(mode)})`;
  return undefined;
}

/** The command that closes readable files; undefined if there are none. They belong to the owner and are not links. */
export function closingCommand(readable: readonly string[]): string | undefined {
  return readable.length === 0 ? undefined : `chmod go-rwx ${readable.map(shellQuote).join(' ')}`;
}

/** What to do about a suspect file, in words, because a person must judge it. */
export const SUSPECT_REMEDY =
  'move it away and restore it from a backup, as the user of Sidekey; do not change its owner or mode, which would trust what somebody else may have put there';

/** Closing a file does not undo that keys were read. */
export const READABLE_WARNING =
  'if others could reach these files, they may have the keys: then move the folder "ca" and "admin.token" away, and the next start makes new ones';

/**
 * @throws ERR_DATA_DIR with problem and remedy if the directory or its contents are accessible to others or may be
 *   another user's
 */
export function checkPrivate(directory: string): void {
  const { readable, suspect } = privacyFaults(directory, process.geteuid!());
  if (suspect[0]?.place === directory) {
    throw new SidekeyError(
      'ERR_DATA_DIR',
      `the data directory ${directory} cannot be trusted: ${suspect[0].problem}; only the user of Sidekey may own it and write in it: ` +
        'start Sidekey as the user who owns it, or give --data-dir a new directory',
    );
  }
  if (suspect.length > 0) {
    const lines = suspect.map(({ place, problem }) => `\n  ${place}: ${problem}`);
    throw new SidekeyError(
      'ERR_DATA_DIR',
      `the data directory ${directory} holds what somebody else may have put there or changed; ` +
        `all that is in it must be made by the user of Sidekey and writable by that user alone; ${SUSPECT_REMEDY}:${lines.join('')}`,
    );
  }
  const command = closingCommand(readable);
  if (command === undefined) return;
  if (!keepsModes(directory)) {
    throw new SidekeyError(
      'ERR_DATA_DIR',
      `the filesystem of ${directory} does not keep file modes, so keys in it are open to others; ` +
        'put the data directory on one that does (ext4, xfs, btrfs, tmpfs)',
    );
  }
  const how = isShownWhole(command)
    ? `close it with:\n  ${command}`
    : 'close it with chmod go-rwx for each of them (a name has characters that a terminal does not show)';
  throw new SidekeyError(
    'ERR_DATA_DIR',
    `the data directory ${directory} is not closed to others; ${READABLE_WARNING}; ${how}`,
  );
}

/** True if file modes have an effect here; on vfat and some network mounts they have none. */
function keepsModes(directory: string): boolean {
  const probe = mkdtempSync(path.join(directory, '.modes-'));
  try {
    return (lstatSync(probe).mode & GROUP_AND_OTHERS) === 0;
  } finally {
    rmdirSync(probe);
  }
}
