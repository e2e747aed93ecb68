/** `sidekey backup` and `sidekey restore`; what they do is in `make-backup.ts` and `restore-backup.ts`. */

import type { Command } from 'commander';
import type { BackupFlags, RestoreFlags } from './backup-flags.ts';
import { addOutputOption, REPORT_FORMATS } from './output.ts';
import { addClientOptions } from './target.ts';

export function addBackupCommand(program: Command): void {
  const backup = program
    .command('backup <file>')
    .description('write a backup of the running server, with its keys, to a file (mode 0600); - is stdout')
    .option('--recipient <recipient>', 'encrypt to this age recipient (age1…); may be repeated', collect)
    .option('--recipient-file <file>', 'encrypt to the recipients in this file, one a line; may be repeated', collect)
    .option('--passphrase-file <file>', 'encrypt with the passphrase in this file; without any of these, ask for one')
    .option('--plain', 'do not encrypt: the file has the keys of the authorities in clear');
  addClientOptions(backup, REPORT_FORMATS).action(async (file: string, flags: BackupFlags) => {
    const { runBackup } = await import('./backup-run.ts');
    await runBackup(file, flags);
  });
}

export function addRestoreCommand(program: Command): void {
  const restore = program
    .command('restore <file>')
    .description('put a backup into a data directory that no server uses; - is stdin')
    .option('--data-dir <dir>', 'the data directory (env: SIDEKEY_DATA_DIR; default: that of serve)')
    .option('--replace', 'replace what is in the data directory, and keep it in a folder there')
    .option('--check', 'only check the backup; nothing is restored')
    .option('--identity-file <file>', 'decrypt with the age identities in this file; may be repeated', collect)
    .option('--passphrase-file <file>', 'decrypt with the passphrase in this file; without these, ask for it')
    .option('--plain', 'the backup is not encrypted')
    .option('--trust-domain <name>', 'refuse a backup of another trust domain (env: SIDEKEY_TRUST_DOMAIN)')
    .option(
      '--key-passphrase-file <file>',
      "the server's key passphrase, to check encrypted keys (env: SIDEKEY_KEY_PASSPHRASE_FILE)",
    )
    .option(
      '--old-key-passphrase-file <file>',
      'the former one, if the keys in the backup are encrypted with it (env: SIDEKEY_OLD_KEY_PASSPHRASE_FILE)',
    )
    .option(
      '--taint <id>',
      'mark an authority of the backup (its ID, or the beginning) as tainted, since it was tainted after the backup; may be repeated',
      collect,
    );
  addOutputOption(restore, REPORT_FORMATS).action(async (file: string, flags: RestoreFlags) => {
    const { runRestore } = await import('./backup-run.ts');
    await runRestore(file, flags);
  });
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
