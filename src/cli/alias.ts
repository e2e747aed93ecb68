/** `sidekey alias …`: other names for SPIFFE IDs, such as host names of on-demand secrets. */

import type { Command } from 'commander';
import type { Problem } from '../base/index.ts';
import { deleteAll } from './delete.ts';
import { placed, printWarnings } from './errors.ts';
import { printFields, printTable, printView } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

export function addAliasCommands(program: Command): void {
  const alias = program.command('alias').description('manage other names for SPIFFE IDs, such as host names (SNI)');
  addClientOptions(
    alias
      .command('set <host> <spiffe-id>')
      .description('make a name an alias of a SPIFFE ID; replaces an existing alias'),
  ).action(async (host: string, spiffeId: string, options: ClientOptions) => {
    const client = await openClient(options);
    const { warnings, ...made } = await placed(byArgument, () =>
      client.setAlias({ path: { host }, body: { spiffe_id: spiffeId } }),
    );
    printWarnings(warnings.map(byArgument));
    const table = () => printFields(Object.entries(made));
    await printView(options.output, { value: made, names: [made.host], table });
  });
  addClientOptions(alias.command('list').description('list aliases by name')).action(async (options: ClientOptions) => {
    const client = await openClient(options);
    const { aliases } = await client.listAliases();
    await printView(options.output, {
      value: { aliases },
      names: aliases.map(({ host }) => host),
      table: () =>
        printTable(
          ['HOST', 'SPIFFE ID', 'UPDATED'],
          aliases.map((one) => [one.host, one.spiffe_id, one.updated_at]),
        ),
    });
  });
  addClientOptions(
    alias
      .command('delete <hosts...>')
      .description('delete aliases: their SPIFFE IDs are no longer given under these names'),
  ).action(async (hosts: readonly string[], options: ClientOptions) => {
    const client = await openClient(options);
    await deleteAll(hosts, options.output, (host) => client.deleteAlias({ path: { host } }));
  });
}

function byArgument(problem: Problem): Problem {
  return problem.path === '/spiffe_id' ? { ...problem, path: 'spiffe-id' } : problem;
}
