/** The flags of a command that runs a server or an agent; they come from its table of settings. */

import { type Command, Option } from 'commander';
import { flagOf, type SettingsTable, variableOf } from '../config/index.ts';

export function addSettings(command: Command, { settings }: SettingsTable): Command {
  for (const [key, { about, kind, fallback }] of Object.entries(settings)) {
    const flag =
      kind.takes === 'none' ? `${flagOf(key)} [${kind.placeholder}]` : `${flagOf(key)} <${kind.placeholder}>`;
    const words = kind.takes === 'none' || fallback === undefined ? '' : `default: ${fallback.words}, `;
    const option = new Option(flag, `${about} (${words}env: ${variableOf(key)})`);
    // Kept as text: the configuration checks flags, variables and file by the same rules.
    command.addOption(kind.takes === 'many' ? option.argParser(collect) : option);
  }
  return command.addHelpText(
    'after',
    '\nA flag overrides its environment variable, and the variable overrides the file of --config.',
  );
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}
