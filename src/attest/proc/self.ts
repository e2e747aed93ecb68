/** /proc/self: whether /proc is of this process's pid namespace. */

import fs from 'node:fs';
import { SidekeyError } from '../../base/errors.ts';

/**
 * Makes sure that /proc shows the processes of this pid namespace: by the numbers of another one, a caller would be taken
 * for a stranger of the same number. @throws ERR_PROC
 */
export function checkProc(): void {
  let self: string;
  try {
    self = fs.readlinkSync('/proc/self');
  } catch (cause) {
    throw new SidekeyError('ERR_PROC', `/proc is not mounted here: ${(cause as Error).message}`, { cause });
  }
  if (self === String(process.pid)) return;
  const message = `/proc is that of another pid namespace: it calls this process ${self}, which is ${process.pid}`;
  throw new SidekeyError('ERR_PROC', `${message}; mount one of its own (unshare --mount-proc)`);
}
