/** `sidekey helper`: takes the place of spiffe-helper, with its flags and its configuration. */

import type { Command } from 'commander';
import { addLogOptions, type HelperFlags } from './files-flags.ts';
import { PIPE_DEFAULT } from './pipe.ts';

export function addHelperCommand(program: Command): void {
  const command = program
    .command('helper')
    .description("keep SVIDs in files, by spiffe-helper's own configuration file")
    .option('--config <file>', "spiffe-helper's configuration (HCL); -config works too", 'helper.conf')
    .option('--daemon-mode [bool]', 'false: write the files once and exit; it beats daemon_mode of the file')
    .option('--socket <path>', `the server's pipe; it beats agent_address of the file (${PIPE_DEFAULT})`)
    .option('--owner <user[:group]>', 'whose files they are (default: those of this user)')
    .option('--wait <duration>', 'how long to wait for an identity if daemon_mode is false', '1m');
  addLogOptions(command).action(async (flags: HelperFlags) => {
    const { runHelper } = await import('./files-run.ts');
    await runHelper(flags);
  });
}
