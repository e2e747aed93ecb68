/** How much of other processes /proc lets this one see. */

import { readOwnMounts } from './proc/mountinfo.ts';
import { readOwnCapabilities } from './proc/status.ts';

export interface ProcView {
  /** True if the executables of other users' processes can be looked at: `unix:path` and `unix:sha256` are of all. */
  readonly othersExecutables: boolean;
  /** The mount option that hides processes; undefined where none does. */
  readonly hidepid: string | undefined;
}

const CAP_SYS_PTRACE = 1n << 19n;
const HIDEPID = 'hidepid=';

/** @see proc(5), capabilities(7) */
export function readProcView(): ProcView {
  const options = readOwnMounts().findLast(({ mountPoint }) => mountPoint === '/proc')?.options ?? [];
  const hidepid = options.find((option) => option.startsWith(HIDEPID))?.slice(HIDEPID.length);
  return {
    othersExecutables: (readOwnCapabilities() & CAP_SYS_PTRACE) !== 0n,
    hidepid: hidepid === '0' || hidepid === 'off' ? undefined : hidepid,
  };
}
