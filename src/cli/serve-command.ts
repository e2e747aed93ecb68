/** `sidekey serve`; its flags come from the table of settings. */

import { type Command, Option } from 'commander';
import { type Flags, flagOf, SETTING_KEYS, SETTINGS, type Setting, variableOf } from '../config/index.ts';

export function addServeCommand(program: Command): void {
  const serve = program
    .command('serve')
    .description('run the server')
    .addHelpText(
      'after',
      '\nA flag overrides its environment variable, and the variable overrides the file of --config.',
    );
  for (const key of SETTING_KEYS) {
    const { about, kind, fallback }: Setting<unknown> = SETTINGS[key];
    const flag =
      kind.takes === 'none' ? `${flagOf(key)} [${kind.placeholder}]` : `${flagOf(key)} <${kind.placeholder}>`;
    const words = kind.takes === 'none' || fallback === undefined ? '' : `default: ${fallback.words}, `;
    const option = new Option(flag, `${about} (${words}env: ${variableOf(key)})`);
    // Kept as text: the configuration checks flags, variables and file by the same rules.
    serve.addOption(kind.takes === 'many' ? option.argParser(collect) : option);
  }
  serve.option('--check', 'check the settings and the files that they name, print what a start would change, and exit');
  serve.action(async ({ check, ...flags }: Flags & { readonly check?: true }) => {
    const { serve: run, checkServe } = await import('./serve.ts');
    await (check ? checkServe(flags) : run(flags));
  });
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}
