/** Reads the entries of the `--entries` file. */

import { FILE_SOURCE } from '../base/declared.ts';
import type { DeclaredEntries } from '../registry/entries-file.ts';
import { storedAs } from '../registry/entry.ts';
import { logEntryWarnings, type WarningsOf } from '../registry/entry-warnings.ts';
import type { EntryRules, Registry } from '../registry/types.ts';
import type { Log } from '../telemetry/log.ts';

/** Loads the YAML reader only if there is a file. @throws ERR_CONFIG with all problems */
export async function readDeclared(file: string, rules: EntryRules): Promise<DeclaredEntries> {
  const { loadEntriesFile } = await import('../entries-file/entries-file.ts');
  return loadEntriesFile(file, rules);
}

export async function takeEntries({ file, inputs }: DeclaredEntries, registry: Registry, log: Log): Promise<void> {
  const { created, changed, deleted, kept } = await registry.replaceSource(FILE_SOURCE, inputs);
  log.info(
    { file, created: created.length, changed: changed.length, deleted: deleted.length, kept: kept.length },
    'entries file applied',
  );
}

/** Logs the warnings for the entries, with their lines and ids. */
export function warnOfDeclared(
  { inputs, locate }: DeclaredEntries,
  warningsOf: WarningsOf,
  registry: Registry,
  log: Log,
): void {
  const warnings = warningsOf(inputs).map(({ index, warning }) => ({
    index,
    warning: locate({ ...warning, path: `/entries/${index}${warning.path}` }),
  }));
  logEntryWarnings(log, warnings, (index) => storedAs(inputs[index]!, registry));
}
