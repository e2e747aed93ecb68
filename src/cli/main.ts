/** The `sidekey` command. Each command loads what it needs when it runs, so that asking a server something is quick. */

import { Command, CommanderError } from 'commander';
import { version } from '../base/version.ts';
import { addAliasCommands } from './alias.ts';
import { addBundleCommands } from './bundle.ts';
import { addDoctorCommand } from './doctor.ts';
import { addEntryCommands } from './entry.ts';
import { addEnvoyCommands } from './envoy.ts';
import { EXIT, report } from './errors.ts';
import { addExplainCommand } from './explain.ts';
import { addFetchCommand } from './fetch.ts';
import { addHealthcheckCommand } from './healthcheck.ts';
import { addProxiesCommand } from './proxies.ts';
import { addServeCommand } from './serve-command.ts';

function program(): Command {
  const sidekey = new Command('sidekey')
    .description('SPIFFE identities for the Envoys on a host: CA, registry, attestation and SDS in one process')
    .version(version())
    .showHelpAfterError('(--help tells more)')
    .exitOverride();
  addServeCommand(sidekey);
  addEntryCommands(sidekey);
  addAliasCommands(sidekey);
  addBundleCommands(sidekey);
  addProxiesCommand(sidekey);
  addExplainCommand(sidekey);
  addFetchCommand(sidekey);
  addHealthcheckCommand(sidekey);
  addEnvoyCommands(sidekey);
  addDoctorCommand(sidekey);
  return sidekey;
}

/** Runs one command and returns the exit status. */
async function main(args: readonly string[]): Promise<number> {
  try {
    await program().parseAsync(args, { from: 'user' });
    return EXIT.done;
  } catch (thrown) {
    // Commander has printed help, version or the fault already.
    if (!(thrown instanceof CommanderError)) return report(thrown);
    return thrown.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
}

// A reader that has seen enough, as in `sidekey entry list | head -1`, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
void main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
