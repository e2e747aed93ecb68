/** `sidekey serve`; its flags come from the table of settings. */

import type { Command } from 'commander';
import { type Flags, SERVE_SETTINGS } from '../config/index.ts';
import { addSettings } from './setting-flags.ts';

export function addServeCommand(program: Command): void {
  const serve = addSettings(program.command('serve').description('run the server'), SERVE_SETTINGS);
  serve.option('--check', 'check the settings and the files that they name, print what a start would change, and exit');
  serve.action(async ({ check, ...flags }: Flags & { readonly check?: true }) => {
    const { serve: run, checkServe } = await import('./serve.ts');
    await (check ? checkServe(flags) : run(flags));
  });
}
