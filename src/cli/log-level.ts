/** `sidekey log-level`: shows or changes the level of a running server's log. */

import { Argument, type Command } from 'commander';
import { LOG_LEVELS, type LogLevel } from '../telemetry/index.ts';
import { printFields, printView } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

export function addLogLevelCommand(program: Command): void {
  addClientOptions(
    program
      .command('log-level')
      .description("show the level of the server's log, or change it until the server restarts")
      .addArgument(new Argument('[level]', 'the new level').choices(LOG_LEVELS)),
  ).action(async (level: LogLevel | undefined, options: ClientOptions) => {
    const client = await openClient(options);
    const answer = level === undefined ? await client.getLogLevel() : await client.setLogLevel({ body: { level } });
    await printView(options.output, {
      value: answer,
      names: [answer.level],
      table: () => {
        printFields([['level', answer.level]]);
        if (answer.level === answer.setting) return;
        process.stdout.write(
          `The level is ${answer.setting} again after a restart: the setting (--log-level) stays the same.\n`,
        );
      },
    });
  });
}
