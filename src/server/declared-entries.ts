/** Reads and applies the entries of `--entries`, a file or a folder. */

import { missingPrograms } from '../attest/index.ts';
import { FILE_SOURCE } from '../base/index.ts';
import type { DeclaredEntries } from '../entries-file/index.ts';
import {
  type EntryRules,
  logEntryWarnings,
  programWarning,
  type Registry,
  storedAs,
  type WarningsOf,
} from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';

/**
 * Loads the YAML reader only if there is a file.
 * @param apart whether long YAML is parsed in a thread of its own, as while the server runs
 * @throws ERR_CONFIG with all problems
 */
export async function readDeclared(file: string, rules: EntryRules, apart = false): Promise<DeclaredEntries> {
  const { loadEntriesFile } = await import('../entries-file/index.ts');
  return loadEntriesFile(file, rules, { apart });
}

export async function takeEntries({ file, inputs }: DeclaredEntries, registry: Registry, log: Log): Promise<void> {
  const { created, changed, deleted, kept } = await registry.replaceSource(FILE_SOURCE, inputs, {
    by: { kind: 'file', path: file },
  });
  log.info(
    { file, created: created.length, changed: changed.length, deleted: deleted.length, kept: kept.length },
    'entries file applied',
  );
}

/** Logs the warnings for the entries, with their lines and ids. */
export async function warnOfDeclared(
  { inputs, locate, notes }: DeclaredEntries,
  warningsOf: WarningsOf,
  registry: Registry,
  log: Log,
): Promise<void> {
  for (const note of notes) log.warn(note, 'a part of the entries file has no effect');
  const programs = await missingPrograms(inputs);
  const all = [...warningsOf(inputs), ...programs.map(({ index, file }) => ({ index, warning: programWarning(file) }))];
  const warnings = all.map(({ index, warning }) => ({
    index,
    warning: locate({ ...warning, path: `/entries/${index}${warning.path}` }),
  }));
  logEntryWarnings(log, warnings, (index) => storedAs(inputs[index]!, registry));
}
