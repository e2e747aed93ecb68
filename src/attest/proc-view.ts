/** What Sidekey can see of other processes in /proc. */

import { readOwnMounts } from './proc/mountinfo.ts';
import { readOwnCapabilities } from './proc/status.ts';

export interface ProcView {
  /** True if Sidekey can read the executables of other users' processes, which `unix:path` and `unix:sha256` need. */
  readonly othersExecutables: boolean;
  /** The value of the mount option `hidepid`; undefined if it hides no processes. */
  readonly hidepid: string | undefined;
}

/** How to let Sidekey see the programs of other users. */
export const PTRACE_REMEDY =
  'give the server CAP_SYS_PTRACE (systemd: AmbientCapabilities=CAP_SYS_PTRACE; docker run --cap-add SYS_PTRACE; compose: cap_add: [SYS_PTRACE])';

const CAP_SYS_PTRACE = 1n << 19n;
const HIDEPID = 'hidepid=';

/** @see proc(5), capabilities(7) */
export function readProcView(): ProcView {
  const options = readOwnMounts().findLast(({ mountPoint }) => mountPoint === '/proc')?.options ?? [];
  const hidepid = options.find((option) => option.startsWith(HIDEPID))?.slice(HIDEPID.length);
  return {
    othersExecutables: mayReadOthers(),
    hidepid: hidepid === '0' || hidepid === 'off' ? undefined : hidepid,
  };
}

/** Whether Sidekey may read the executables of other users' processes. */
export function mayReadOthers(): boolean {
  return (readOwnCapabilities() & CAP_SYS_PTRACE) !== 0n;
}
