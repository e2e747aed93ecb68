/** Reads files on which decisions depend, only if no other user than root and this one could have written them. */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import path from 'node:path';
import { OPEN_INPUT, readInputFile, readRegular } from './input-file.ts';
import { describeLoose, isOfType, type Loose, octal, pathRemedy, pathRule, walkPath } from './trusted-path.ts';
import { type Observer, observer } from './user-ids.ts';

/** Default maximum size: such files hold a token. */
const MAX_BYTES = 64 * 1024;

export interface TrustedFileRules {
  /** Refuses the file if others can read it, too. */
  readonly closed: boolean;
  /** What to do if others could write or read the file. */
  readonly remedy: string;
  /** By default 64 KiB. */
  readonly maxBytes?: number;
}

/**
 * The text of a file that only root and this user can have written. Descriptors of this process (`/dev/stdin`,
 * `<(command)`) are read without this check.
 * @throws Error whose message has the file or directory, the problem, the rule and the remedy; if it is too large
 */
export async function readTrustedFile(file: string, rules: TrustedFileRules): Promise<string> {
  const me = observer();
  const walk = walkPath(path.resolve(file), me);
  if (walk.isDescriptor) return (await readInputFile(walk.path, MAX_BYTES)).toString('utf8');
  return readWalked(file, walk, me, rules);
}

/** The same, synchronously. Descriptors of this process are refused, since reading a pipe could block. */
export function readTrustedFileNow(file: string, rules: TrustedFileRules): string {
  const me = observer();
  const walk = walkPath(path.resolve(file), me);
  if (walk.isDescriptor) throw new Error(`${file} is a descriptor of this process: it must be a file`);
  return readWalked(file, walk, me, rules);
}

function readWalked(
  file: string,
  walk: ReturnType<typeof walkPath>,
  me: Observer,
  { closed, remedy, maxBytes = MAX_BYTES }: TrustedFileRules,
): string {
  const [loose] = walk.loose;
  if (loose !== undefined) throw new Error(`${describeLoose(loose)}; ${pathRule(me.uid)}: ${pathRemedy(me.uid)}`);
  if (walk.entry === undefined) throw new Error(`ENOENT: there is no such file: ${file}`);
  // Without symbolic links: the file that was checked is the one that is opened.
  const fd = openSync(walk.path, OPEN_INPUT | constants.O_NOFOLLOW);
  try {
    const { uid, mode } = fstatSync(fd);
    if (!isOfType({ uid, mode }, constants.S_IFREG)) throw new Error(`${file} is not a regular file`);
    const fault =
      uid !== 0 && uid !== me.uid
        ? `belongs to uid ${uid}, which is neither root nor the user who reads it`
        : (mode & 0o022) !== 0
          ? 'can be written by others, so it may be theirs'
          : closed && (mode & 0o077) !== 0
            ? 'is open to others, who may have read it'
            : undefined;
    if (fault !== undefined) throw new Error(`it ${fault} (mode ${octal(mode)}): ${remedy}`);
    return readRegular(fd, maxBytes).toString('utf8');
  } finally {
    closeSync(fd);
  }
}

/**
 * The directories on the way, and the file itself if it is a regular one, that users other than root and the observer
 * can change. Empty if there are none, or if the path leads to a descriptor of this process or does not exist.
 *
 * @throws Error if a directory cannot be examined
 */
export function whoCanChange(file: string, who: Observer = observer()): readonly Loose[] {
  const { isDescriptor, path: place, entry, loose } = walkPath(path.resolve(file), who);
  if (isDescriptor) return [];
  if (entry === undefined || !isOfType(entry, constants.S_IFREG)) return loose;
  const { uid, mode } = entry;
  const known = uid === 0 || uid === who.uid;
  const own: Loose[] = [];
  if (!known) own.push({ place, uid, mode, kind: uid === who.unmapped ? 'unmapped' : 'foreign' });
  else if ((mode & 0o022) !== 0) own.push({ place, uid, mode, kind: 'writable' });
  return [...loose, ...own];
}
