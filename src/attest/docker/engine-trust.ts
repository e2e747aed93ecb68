/**
 * Whether the engine behind a socket may be believed: what it says decides who gets which identity. Nobody but root and
 * Sidekey's own user may be able to put another socket in its place, and one of these two listens on it.
 */

import path from 'node:path';
import { describeLoose, type Loose, pathRule, walkToMade } from '../../base/trusted-path.ts';
import { type Observer, observer } from '../../base/user-ids.ts';

/** By what others could put a socket of theirs at the path; empty where nobody can. @throws Error where it can't be found out */
export function looseOnEnginePath(socketPath: string, who: Observer = observer()): readonly Loose[] {
  return walkToMade(path.resolve(socketPath), who).loose;
}

/** Why others could put a socket of theirs at the path, and the rule; undefined where nobody can. */
export function whyLoosePath(socketPath: string): string | undefined {
  try {
    const who = observer();
    const [loose] = looseOnEnginePath(socketPath, who);
    return loose === undefined ? undefined : `${describeLoose(loose)}; ${pathRule(who.uid)}`;
  } catch (thrown) {
    return `who could change its path can't be found out: ${(thrown as Error).message}`;
  }
}

/**
 * Why a process of this uid is not believed to be the engine, and the rule; undefined where it is.
 * @param uid of the process that listens, by the kernel's word
 */
export function whyForeignEngine(uid: number, who: Observer = observer()): string | undefined {
  if (uid === 0 || uid === who.uid) return undefined;
  const name = uid === who.unmapped ? `uid ${uid} (every user without a number here)` : `uid ${uid}`;
  const own = who.uid === undefined ? 'the user of Sidekey' : `the user of Sidekey (uid ${who.uid})`;
  return `a process of ${name} listens on its socket; the engine must run as root or as ${own}`;
}
