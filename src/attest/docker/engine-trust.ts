/**
 * Checks that the engine behind a socket can be trusted, because its answers decide which process gets which identity.
 * Only root and Sidekey's user may be able to replace the socket, and the listening process must run as one of them.
 */

import path from 'node:path';
import { describeLoose, type Loose, type Observer, observer, pathRule, walkToMade } from '../../base/index.ts';

/** The directories and links that let other users replace the socket. @throws Error if the path can't be read */
export function looseOnEnginePath(socketPath: string, who: Observer = observer()): readonly Loose[] {
  return walkToMade(path.resolve(socketPath), who).loose;
}

/** Why another user could replace the socket, and the rule; undefined if none could. */
export function whyUntrustedPath(socketPath: string): string | undefined {
  try {
    const who = observer();
    const [loose] = looseOnEnginePath(socketPath, who);
    return loose === undefined ? undefined : `${describeLoose(loose)}; ${pathRule(who.uid)}`;
  } catch (thrown) {
    return `its path cannot be checked: ${(thrown as Error).message}`;
  }
}

/**
 * Why a process of this user is not trusted as the engine, and the rule; undefined if it is.
 * @param uid of the listening process, from the kernel
 */
export function whyForeignEngine(uid: number, who: Observer = observer()): string | undefined {
  if (uid === 0 || uid === who.uid) return undefined;
  const name = uid === who.unmapped ? `uid ${uid} (the uid of all users that are not mapped here)` : `uid ${uid}`;
  const own = who.uid === undefined ? 'the user of Sidekey' : `the user of Sidekey (uid ${who.uid})`;
  return `a process of ${name} listens on its socket; the engine must run as root or as ${own}`;
}
