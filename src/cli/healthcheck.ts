/** `sidekey healthcheck`: exit status 0 when the server is ready, 1 when it is not. */

import type { Command } from 'commander';
import { printFields, printView } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

export function addHealthcheckCommand(program: Command): void {
  addClientOptions(
    program.command('healthcheck').description('check that the server is ready; exit status 1 if it is not'),
  ).action(async (options: ClientOptions) => {
    const client = await openClient(options);
    const { status } = await client.getReadiness();
    await printView(options.output, {
      value: { status },
      names: [status],
      table: () => printFields([['status', status]]),
    });
  });
}
