/** /proc/self: shows whether /proc belongs to this process's pid namespace. */

import fs from 'node:fs';
import { SidekeyError } from '../../base/index.ts';

/**
 * Checks that /proc shows this process's pid namespace. In another one, a caller's pid may belong to a different
 * process.
 * @throws ERR_PROC
 */
export function checkProc(): void {
  let self: string;
  try {
    self = fs.readlinkSync('/proc/self');
  } catch (cause) {
    throw new SidekeyError('ERR_PROC', `/proc is not mounted here: ${(cause as Error).message}`, { cause });
  }
  if (self === String(process.pid)) return;
  const message = `/proc belongs to another pid namespace: it shows this process as pid ${self} instead of ${process.pid}`;
  throw new SidekeyError('ERR_PROC', `${message}; mount a /proc for this namespace (unshare --mount-proc)`);
}
