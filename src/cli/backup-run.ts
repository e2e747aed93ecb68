/** What `sidekey backup` and `sidekey restore` load to run; a bundle of its own. */

import { hardenProcess } from '../server/index.ts';
import type { BackupFlags, RestoreFlags } from './backup-flags.ts';
import { backup } from './make-backup.ts';
import { restore } from './restore-backup.ts';

/** @throws UsageError, AdminError, Error */
export async function runBackup(file: string, flags: BackupFlags): Promise<void> {
  hardenProcess();
  await backup(file, flags);
}

/** @throws UsageError, SidekeyError, Error */
export async function runRestore(file: string, flags: RestoreFlags): Promise<void> {
  hardenProcess();
  await restore(file, flags);
}
