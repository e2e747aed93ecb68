/** When a finding may give a command that names a path: it is pasted later, as a rule by root. */

import type { Finding } from '../base/finding.ts';
import { walkToMade } from '../base/trusted-path.ts';
import { observer } from '../base/user-ids.ts';

/**
 * Whether nobody but root and the user here can change what the path means before the command is run. A server of another
 * user counts as a stranger: by a symbolic link it could have root change the mode of any file.
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
