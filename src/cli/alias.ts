/** `sidekey alias …`: other names for SPIFFE IDs, such as host names of on-demand secrets. */

import type { Command } from 'commander';
import type { AliasJson } from '../admin/client.ts';
import type { Problem } from '../base/errors.ts';
import { placed, printWarnings } from './errors.ts';
import { printFields, printJson, printTable } from './output.ts';
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
      client.json<AliasJson & { warnings: readonly Problem[] }>('PUT', pathOf(host), {
        body: { spiffe_id: spiffeId },
      }),
    );
    printWarnings(warnings.map(byArgument));
    if (options.output === 'json') printJson(made);
    else printFields(Object.entries(made));
  });
  addClientOptions(alias.command('list').description('list aliases by name')).action(async (options: ClientOptions) => {
    const client = await openClient(options);
    const { aliases } = await client.json<{ aliases: readonly AliasJson[] }>('GET', '/v1/aliases');
    if (options.output === 'json') {
      printJson({ aliases });
      return;
    }
    const rows = aliases.map((one) => [one.host, one.spiffe_id, one.updated_at]);
    printTable(['HOST', 'SPIFFE ID', 'UPDATED'], rows);
  });
  addClientOptions(
    alias.command('delete <host>').description('delete an alias: its SPIFFE ID is no longer given under this name'),
  ).action(async (host: string, options: ClientOptions) => {
    const client = await openClient(options);
    await client.text('DELETE', pathOf(host));
    if (options.output === 'json') printJson({ deleted: host });
    else printTable([`deleted ${host}`], []);
  });
}

function byArgument(problem: Problem): Problem {
  return problem.path === '/spiffe_id' ? { ...problem, path: 'spiffe-id' } : problem;
}

function pathOf(host: string): string {
  return `/v1/aliases/${encodeURIComponent(host)}`;
}
