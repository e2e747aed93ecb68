/** The entries that the file of `--entries` declares. */

import type { EntryInput, EntryRules, Registry } from '../registry/types.ts';
import type { Log } from '../telemetry/log.ts';

/** The `source` of entries that a file declares. */
const FILE_SOURCE = 'file';

/** The reader of YAML is loaded for those who have a file. */
export async function readDeclared(file: string, rules: EntryRules): Promise<readonly EntryInput[]> {
  const { loadEntriesFile } = await import('../registry/entries-file.ts');
  return loadEntriesFile(file, rules);
}

export async function takeEntries(
  inputs: readonly EntryInput[],
  file: string | undefined,
  registry: Registry,
  log: Log,
): Promise<void> {
  const { created, changed, deleted, kept } = await registry.replaceSource(FILE_SOURCE, inputs);
  log.info(
    { file, created: created.length, changed: changed.length, deleted: deleted.length, kept: kept.length },
    'entries file applied',
  );
}
