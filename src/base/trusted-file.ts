/** Reads files on which decisions depend, only if no other user than root and this one could have written them. */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import path from 'node:path';
import { OPEN_INPUT, readInputFile, readRegular } from './input-file.ts';
import { describeLoose, isOfType, type Loose, octal, pathRemedy, pathRule, walkPath } from './trusted-path.ts';
import { type Observer, observer } from './user-ids.ts';

/** Such files hold a token. */
const MAX_BYTES = 64 * 1024;

/**
 * The text of a file that only root and this user can have written. Descriptors of this process (`/dev/stdin`,
 * `<(command)`) are read without this check.
 *
 * @param closed refuses the file if others can read it, too
 * @param remedy what to do if others could write or read the file
 * @throws Error whose message has the file or directory, the problem, the rule and the remedy; if it is too large
 */
export async function readTrustedFile(
  file: string,
  { closed, remedy }: { closed: boolean; remedy: string },
): Promise<string> {
  const me = observer();
  const walk = walkPath(path.resolve(file), me);
  if (walk.isDescriptor) return (await readInputFile(walk.path, MAX_BYTES)).toString('utf8');
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
    return readRegular(fd, MAX_BYTES).toString('utf8');
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
