/** Finds the lines at which an entries file declares entries, for messages. */

import { loadEntriesFile } from './entries-file.ts';
import { similarityKey } from './entry.ts';
import type { Entry, EntryInput, EntryRules } from './types.ts';

/** Larger files are not searched, in bytes, since the search blocks the event loop. */
const MAX_BYTES = 256 * 1024;

/**
 * The lines (from 1) of these entries in the file, by entry id. Entries without a certain match are left out, since the file
 * may have changed after it was applied; none is found in a file with a fault.
 */
export async function declaredLines(
  file: string,
  rules: EntryRules,
  entries: readonly Entry[],
): Promise<ReadonlyMap<string, number>> {
  const lines = new Map<string, number>();
  if (entries.length === 0) return lines;
  const declared = await loadEntriesFile(file, rules, MAX_BYTES).catch(() => undefined);
  if (declared === undefined) return lines;
  const { inputs, lineOf } = declared;
  for (const entry of entries) {
    const index = indexOf(entry, inputs);
    const line = index === undefined ? undefined : lineOf(index);
    if (line !== undefined) lines.set(entry.id, line);
  }
  return lines;
}

/** By id, else by what makes two entries the same, else by the SPIFFE ID alone; undefined if none or several are like it. */
function indexOf(entry: Entry, inputs: readonly EntryInput[]): number | undefined {
  const key = similarityKey(entry);
  const tests: ((input: EntryInput) => boolean)[] = [
    ({ id }) => id === entry.id,
    (input) => similarityKey(input) === key,
    ({ spiffeId }) => spiffeId === entry.spiffeId,
  ];
  for (const isLike of tests) {
    const found = inputs.findIndex(isLike);
    if (found !== -1) return inputs.findLastIndex(isLike) === found ? found : undefined;
  }
  return undefined;
}
