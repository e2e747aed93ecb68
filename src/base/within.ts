/** Checks whether a path lies in a directory, after resolving links and mounts. */

import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

/** The kernel's limit of consecutive links. @see path_resolution(7) */
const MAX_LINKS = 40;

/**
 * True if `file` is `directory` or below it, even if they do not exist. Symbolic links are followed, and a directory
 * that is mounted at a second place counts as the same one.
 */
export function isWithin(file: string, directory: string): boolean {
  const [place, above] = [realPlace(file), realPlace(directory)];
  const identity = identityOf(above);
  for (let at = place; ; at = path.dirname(at)) {
    if (at === above || (identity !== undefined && identityOf(at) === identity)) return true;
    if (at === path.dirname(at)) return false;
  }
}

/** The path without symbolic links. Components that do not exist are kept as written, also behind a dangling link. */
function realPlace(file: string, links = 0): string {
  const whole = path.resolve(file);
  try {
    return realpathSync(whole);
  } catch {
    const directory = path.dirname(whole);
    if (directory === whole) return whole;
    const above = realPlace(directory, links);
    const place = path.join(above, path.basename(whole));
    const target = links < MAX_LINKS ? linkTarget(place) : undefined;
    return target === undefined ? place : realPlace(path.resolve(above, target), links + 1);
  }
}

function linkTarget(place: string): string | undefined {
  try {
    return lstatSync(place).isSymbolicLink() ? readlinkSync(place) : undefined;
  } catch {
    return undefined;
  }
}

/** Equal for two paths of the same directory; undefined if it does not exist or cannot be examined. */
function identityOf(place: string): string | undefined {
  try {
    const { dev, ino } = statSync(place, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
