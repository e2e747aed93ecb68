/** How much of other processes /proc lets this one see. */

import fs from 'node:fs';

export interface ProcView {
  /** True if the executables of other users' processes can be looked at: `unix:path` and `unix:sha256` are of all. */
  readonly othersExecutables: boolean;
  /** The mount option that hides processes; undefined where none does. */
  readonly hidepid: string | undefined;
}

/** @see proc(5), capabilities(7): CAP_SYS_PTRACE */
export function readProcView(): ProcView {
  const status = fs.readFileSync('/proc/self/status', 'latin1');
  const capabilities = BigInt(`0x${/^CapEff:\t([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const mounts = fs.readFileSync('/proc/self/mounts', 'latin1').split('\n');
  const options = mounts.findLast((line) => line.split(' ')[1] === '/proc')?.split(' ')[3] ?? '';
  const hidepid = /(?:^|,)hidepid=(\w+)/.exec(options)?.[1];
  return {
    othersExecutables: (capabilities & (1n << 19n)) !== 0n,
    hidepid: hidepid === '0' || hidepid === 'off' ? undefined : hidepid,
  };
}
