/**
 * Checks that only the owner of the data directory can read and write it: modes, owners, and no links that lead
 * elsewhere.
 *
 * If others could only read a file, the message has a command that closes it. If others could have created or changed a
 * file, it has none: changing owner or mode would make a planted authority trusted, and chmod and chown follow symbolic
 * links.
 */

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmdirSync,
  type Stats,
} from 'node:fs';
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
 * Closes a directory of this user that is open to others (0755, as systemd's StateDirectory= makes it at each start), if
 * others could not have read or put anything there: everything in it is closed, and if others could write in it, it is
 * empty, also after it was closed. Returns the mode that it had; undefined if nothing was changed.
 * @param isDryRun only says what it would do
 */
export function closeIfHarmless(directory: string, isDryRun = false): number | undefined {
  const owner = process.geteuid!();
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { uid, mode } = fstatSync(fd);
    if (uid !== owner || (mode & GROUP_AND_OTHERS) === 0 || !isHarmless(directory, owner, mode)) return undefined;
    if (!isDryRun) fchmodSync(fd, 0o700);
    return mode & 0o7777;
  } finally {
    closeSync(fd);
  }
}

function isHarmless(directory: string, owner: number, mode: number): boolean {
  // A file that comes after this look is found by the check that follows, if it is not this user's.
  if ((mode & GROUP_AND_OTHERS_WRITE) !== 0) return readdirSync(directory).length === 0;
  const { readable, suspect } = privacyFaults(directory, owner);
  return suspect.length === 0 && readable.every((place) => place === directory);
}

/**
 * @throws ERR_DATA_DIR with problem and remedy if the directory or its contents are accessible to others or may be
 *   another user's
 * @param isDryRun no file is made to find out whether the file system keeps modes
 */
export function checkPrivate(directory: string, isDryRun = false): void {
  const { readable, suspect } = privacyFaults(directory, process.geteuid!());
  if (suspect[0]?.place === directory) {
    throw new SidekeyError(
      'ERR_DATA_DIR',
      `the data directory ${directory} cannot be trusted: ${suspect[0].problem}; only the user of Sidekey may own it and write in it: ` +
        `start Sidekey as the user who owns it, or give --data-dir a new directory${forVolumes(directory)}`,
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
  if (!isDryRun && !keepsModes(directory)) {
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
    `the data directory ${directory} is not closed to others; ${READABLE_WARNING}; ${elsewhere(readable, directory)}${how}`,
  );
}

/** For a directory whose mode comes back, as systemd sets it at each start. */
function elsewhere(readable: readonly string[], directory: string): string {
  return readable.includes(directory)
    ? `in a systemd unit with StateDirectory= set StateDirectoryMode=0700, or give --data-dir a new folder below it, such as ${path.join(directory, 'data')}; `
    : '';
}

/** How the volume of a pod gets the right owner: nobody can use one of root's as another user. */
function forVolumes(directory: string): string {
  const { uid } = lstatSync(directory);
  return uid === 0 && readdirSync(directory).length === 0
    ? `; an empty volume of Kubernetes is given to uid ${process.geteuid!()}, with mode 0700, by an init container that runs as root`
    : '';
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
