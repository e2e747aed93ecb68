/** Files whose content decides: read only where nobody but root and this user could have written it, or warned of. */

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describeLoose, isOfType, type Loose, octal, pathRemedy, pathRule, walkPath } from './trusted-path.ts';
import { type Observer, observer } from './user-ids.ts';

/** @see open(2); a FIFO would make it wait. */
const OPEN = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The text of a file that only root and this user can have written. Descriptors of this process (`/dev/stdin`,
 * `<(command)`) are read as they are.
 *
 * @param closed whether it is refused where others can read it, too
 * @param remedy what to do about a file that others could write or read
 * @throws Error whose message names the file or directory, what is wrong with it, the rule and the remedy
 */
export function readTrustedFile(file: string, { closed, remedy }: { closed: boolean; remedy: string }): string {
  const me = observer();
  const walk = walkPath(path.resolve(file), me);
  if (walk.isDescriptor) return readFileSync(walk.path, 'utf8');
  const [loose] = walk.loose;
  if (loose !== undefined) throw new Error(`${describeLoose(loose)}; ${pathRule(me.uid)}: ${pathRemedy(me.uid)}`);
  if (walk.entry === undefined) throw new Error(`ENOENT: there is no such file: ${file}`);
  // The path without symbolic links: the file that is opened is the one that the walk has judged.
  const fd = openSync(walk.path, OPEN);
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
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

/**
 * By whom, besides root and the observer, the content at a path can be changed: directories on the way, and the file itself
 * if it is a regular one. Empty where nobody can, and where the path leads to a descriptor of this process or nowhere.
 *
 * @throws Error where a directory can't be looked at
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
