/** `sidekey migrate …`: from SPIRE to Sidekey. docs/migrate-spire.md says how the whole goes. */

import { type Command, Option } from 'commander';
import type { GiveRootOptions, MigrateOptions } from './migrate-options.ts';
import { addOutputOption, REPORT_FORMATS } from './output.ts';
import { addClientOptions } from './target.ts';

const SPIRE_SOCKET = '/tmp/spire-server/private/api.sock';

export function addMigrateCommands(program: Command): void {
  const migrate = program.command('migrate').description('move from SPIRE to Sidekey');
  const spire = migrate
    .command('spire')
    .description(
      "write Sidekey's settings and entries out of SPIRE's, and say for each setting and entry what becomes of it; changes nothing in SPIRE",
    )
    .requiredOption('--agent <id>', "SPIFFE ID of this host's agent: only its entries are taken")
    .option('--server-config <file>', "SPIRE's server.conf")
    .option('--agent-config <file>', "SPIRE's agent.conf")
    .option('--expand-env', 'replace environment variables in them, as SPIRE does with -expandEnv')
    .option('--base <dir>', 'where their relative paths begin: the directory in which SPIRE was started', '.')
    .option('--spire-server <program>', 'ask the running server: spire-server, by its path or a name in PATH')
    .option('--spire-socket <path>', "the server's socket; by default that of server.conf")
    .option('--spire-entries <file>', 'output of: spire-server entry show -output json')
    .option('--spire-agent <file>', 'output of: spire-server agent show -spiffeID ID -output json')
    .option('--spire-bundle <file>', 'output of: spire-server bundle show -output json')
    .option('--spire-bundles <file>', 'output of: spire-server bundle list -output json')
    .option('--spire-federation <file>', 'output of: spire-server federation list -output json')
    .requiredOption('--to <dir>', 'directory for the new files; made if it is missing')
    .option('--force', 'replace files that are there');
  addOutputOption(spire, REPORT_FORMATS).action(async (options: MigrateOptions) => {
    const { migrateSpire } = await import('./migrate-spire.ts');
    await migrateSpire(options);
  });
  addClientOptions(
    migrate
      .command('give-root')
      .description(
        "put Sidekey's roots into the bundle of the SPIRE server on this host, so that its workloads accept those of Sidekey",
      )
      .addOption(new Option('--spire-socket <path>', "the SPIRE server's socket").default(SPIRE_SOCKET)),
  ).action(async (options: GiveRootOptions) => {
    const { giveRoot } = await import('./give-root.ts');
    await giveRoot(options);
  });
}
