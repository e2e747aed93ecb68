/** Decides whether a finding may have a command that names a path. Such a command is usually run later, by root. */

import { type Finding, observer, walkToMade } from '../base/index.ts';

/**
 * Whether only root and this user can change the meaning of the path before the command is run. A server of another
 * user is not trusted: with a symbolic link it could make root change the mode of any file.
 */
export function isSafeToName(file: string): boolean {
  try {
    return walkToMade(file, observer()).loose.length === 0;
  } catch {
    return false;
  }
}

export function withoutCommand({ command: _, ...finding }: Finding): Finding {
  return finding;
}
