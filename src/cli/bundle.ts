/** `sidekey bundle …`: the trust bundle. */

import { type Command, Option } from 'commander';
import { UsageError } from './errors.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

export function addBundleCommands(program: Command): void {
  const bundle = program.command('bundle').description("the trust domain's bundle");
  const show = bundle
    .command('show')
    .description('print the bundle')
    .addOption(
      new Option('--format <format>', 'PEM (the default), or the SPIFFE bundle as JSON').choices(['pem', 'spiffe']),
    );
  addClientOptions(show).action(async (options: ClientOptions & { format?: 'pem' | 'spiffe' }) => {
    const asJson = options.output === 'json';
    if (asJson && options.format === 'pem')
      throw new UsageError('--output json is not --format pem: give one of the two');
    const client = await openClient(options);
    const accept = asJson || options.format === 'spiffe' ? 'application/json' : 'application/x-pem-file';
    process.stdout.write(`${(await client.text('GET', '/v1/bundle', { headers: { accept } })).trimEnd()}\n`);
  });
}
