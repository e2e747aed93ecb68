/** `sidekey bundle …`: the trust bundle. */

import { type Command, Option } from 'commander';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

export function addBundleCommands(program: Command): void {
  const bundle = program.command('bundle').description("the trust domain's bundle");
  const show = bundle
    .command('show')
    .description('print the bundle')
    .addOption(
      new Option('--format <format>', 'PEM, or the SPIFFE bundle as JSON').choices(['pem', 'spiffe']).default('pem'),
    );
  addClientOptions(show).action(async (options: ClientOptions & { format: 'pem' | 'spiffe' }) => {
    const client = await openClient(options);
    const accept =
      options.format === 'pem' && options.output === 'table' ? 'application/x-pem-file' : 'application/json';
    process.stdout.write(`${(await client.text('GET', '/v1/bundle', { headers: { accept } })).trimEnd()}\n`);
  });
}
