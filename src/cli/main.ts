/** The `sidekey` command. Each command loads its dependencies only when it runs, so that commands start quickly. */

import { Command, CommanderError } from 'commander';
import { printableLines, version } from '../base/index.ts';
import { addAgentCommands } from './agent.ts';
import { addAliasCommands } from './alias.ts';
import { addApiCommand, isAgentHealthcheck, runApi } from './api.ts';
import { addApplyCommand } from './apply.ts';
import { addAuditCommands } from './audit.ts';
import { addBackupCommand, addRestoreCommand } from './backup.ts';
import { addBundleCommands } from './bundle.ts';
import { addCaCommands } from './ca.ts';
import { addCompletionCommand } from './completion.ts';
import { addDoctorCommand } from './doctor.ts';
import { addEntryCommands } from './entry.ts';
import { addEnvoyCommands } from './envoy.ts';
import { EXIT, report } from './errors.ts';
import { addExplainCommand } from './explain.ts';
import { addFederationCommands } from './federation.ts';
import { addFetchCommand } from './fetch.ts';
import { moveGlobalFlags } from './global-flags.ts';
import { addHealthcheckCommand } from './healthcheck.ts';
import { addHelperCommand } from './helper.ts';
import { addJwksCommand } from './jwks.ts';
import { addLogLevelCommand } from './log-level.ts';
import { addMigrateCommands } from './migrate.ts';
import { addPageCommand } from './page.ts';
import { addProxiesCommand } from './proxies.ts';
import { addRevocationsCommand, addRevokeCommand } from './revoke.ts';
import { addServeCommand } from './serve-command.ts';
import { asDoubleDashes } from './stock-flags.ts';
import { addTokenCommands } from './token.ts';
import { addValidateCommand } from './workload.ts';

const COMMANDS: Readonly<Record<string, (program: Command) => void>> = {
  serve: addServeCommand,
  entry: addEntryCommands,
  apply: addApplyCommand,
  alias: addAliasCommands,
  bundle: addBundleCommands,
  federation: addFederationCommands,
  ca: addCaCommands,
  revoke: addRevokeCommand,
  revocations: addRevocationsCommand,
  audit: addAuditCommands,
  token: addTokenCommands,
  agent: addAgentCommands,
  jwks: addJwksCommand,
  proxies: addProxiesCommand,
  page: addPageCommand,
  explain: addExplainCommand,
  fetch: addFetchCommand,
  helper: addHelperCommand,
  validate: addValidateCommand,
  api: addApiCommand,
  healthcheck: addHealthcheckCommand,
  envoy: addEnvoyCommands,
  doctor: addDoctorCommand,
  backup: addBackupCommand,
  restore: addRestoreCommand,
  migrate: addMigrateCommands,
  'log-level': addLogLevelCommand,
  completion: (to) => addCompletionCommand(to, () => program(undefined)),
};

/** Commands that have subcommands. */
const GROUPS: ReadonlySet<string> = new Set([
  'entry',
  'alias',
  'bundle',
  'federation',
  'ca',
  'revoke',
  'audit',
  'token',
  'envoy',
  'fetch',
  'validate',
  'migrate',
  'agent',
]);

/** Adds only the requested command; adds all of them if it is unknown, as for --help. */
function program(asked: string | undefined): Command {
  const sidekey = new Command('sidekey')
    .description('SPIFFE identities for the Envoys on a host: CA, registry, attestation and SDS in one process')
    .version(version())
    .showHelpAfterError('(see --help)')
    .configureOutput({ writeErr: (text) => void process.stderr.write(printableLines(text)) })
    // Options after a subcommand are its own, also where the command has the same ones.
    .enablePositionalOptions()
    .exitOverride();
  const adders = asked !== undefined && Object.hasOwn(COMMANDS, asked) ? [COMMANDS[asked]!] : Object.values(COMMANDS);
  for (const add of adders) add(sidekey);
  return sidekey;
}

/** Runs one command and returns the exit status. */
async function main(given: readonly string[]): Promise<number> {
  const args = moveGlobalFlags(asDoubleDashes(given), (command) => GROUPS.has(command));
  try {
    if (isAgentHealthcheck(args)) return await runApi(args);
    await program(args[0]).parseAsync(args, { from: 'user' });
    return EXIT.done;
  } catch (thrown) {
    // Commander has already printed help, version or the fault.
    if (!(thrown instanceof CommanderError)) return report(thrown);
    return thrown.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
}

// A reader that closes early, as in `sidekey entry list | head -1`, is not a failure; a full disk is.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  process.exitCode = report(new Error(`the output could not be written: ${error.message}`));
});
// A failure of stderr can't be reported anywhere else.
process.stderr.on('error', () => undefined);
void main(process.argv.slice(2)).then((status) => {
  // Lost output is a failure, even if the command succeeded.
  process.exitCode ||= status;
});
