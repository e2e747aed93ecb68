/** `sidekey ca …`: the authorities and their rotation. */

import type { Command } from 'commander';
import type { AuthoritiesJson } from '../admin/client.ts';
import { printFields, printTable, printView } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

export function addCaCommands(program: Command): void {
  const ca = program.command('ca').description('show and replace the authorities: roots and intermediates');
  addClientOptions(ca.command('show').description('list the authorities and their states')).action(
    async (options: ClientOptions) => {
      const client = await openClient(options);
      await print(await client.json<AuthoritiesJson>('GET', '/v1/ca'), options);
    },
  );
  addClientOptions(
    ca
      .command('rotate')
      .description('replace the intermediate, and reissue all SVIDs')
      .option('--root', 'replace the root instead: a new one is published now and signs once all proxies have it'),
  ).action(async (options: ClientOptions & { root?: boolean }) => {
    const client = await openClient(options);
    const body = { role: options.root === true ? 'root' : 'intermediate' };
    await print(await client.json<AuthoritiesJson>('POST', '/v1/ca/rotate', { body }), options);
  });
}

function print({ authorities }: AuthoritiesJson, { output }: ClientOptions): Promise<void> {
  return printView(output, {
    value: { authorities },
    names: authorities.map(({ id }) => id),
    table: () => printAuthorities(authorities),
  });
}

function printAuthorities(authorities: AuthoritiesJson['authorities']): void {
  const rows = authorities.map(({ role, state, key_type, since, not_after, id }) => [
    role,
    state,
    key_type,
    since,
    not_after,
    id,
  ]);
  printTable(['ROLE', 'STATE', 'KEY', 'SINCE', 'EXPIRES', 'ID'], rows);
  const proxies = authorities.flatMap(({ waits_for }) => waits_for);
  if (proxies.length === 0) return;
  process.stdout.write('\nThe published root waits for these proxies to acknowledge the bundle:\n');
  printFields(
    proxies.map(({ pid, uid, node_id, name, rejection }) => {
      const answer = rejection === null ? 'no answer' : `rejected: ${rejection}`;
      return [`pid ${pid}, uid ${uid}, node ${node_id ?? 'unknown'}`, `${name}: ${answer}`];
    }),
  );
}
