/** Finds the lines at which an entries file declares entries, for messages. */

import type { EntryInput } from '../registry/index.ts';
import { formatSelector, parseIdOrTemplate, type Selector, trustDomainOfEither } from '../spiffe/index.ts';
import { loadEntriesFile } from './entries-file.ts';

/** Maximum size of a file that is searched, in bytes: the search blocks the event loop. */
const MAX_BYTES = 256 * 1024;

/** An entry that is looked for. */
export interface DeclaredEntry {
  readonly id: string;
  readonly spiffeId: string;
  readonly selectors: readonly Selector[];
}

/**
 * The lines (from 1) of these entries in the file, by entry id. Entries without an unambiguous match are left out, since
 * the file may have changed after it was applied; no entry is found in a file with a fault.
 */
export async function declaredLines(
  file: string,
  entries: readonly DeclaredEntry[],
): Promise<ReadonlyMap<string, number>> {
  const lines = new Map<string, number>();
  const [first] = entries;
  if (first === undefined) return lines;
  // The most permissive rules, since it is not known under which rules the server applied the file.
  const rules = { trustDomain: trustDomainOfEither(parseIdOrTemplate(first.spiffeId)), allowWeakSelectors: true };
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

/**
 * The position of the entry: by id, else by SPIFFE ID and selectors, else by SPIFFE ID alone. Undefined if none or several
 * match.
 */
function indexOf(entry: DeclaredEntry, inputs: readonly EntryInput[]): number | undefined {
  const key = keyOf(entry);
  const tests: ((input: EntryInput) => boolean)[] = [
    ({ id }) => id === entry.id,
    (input) => keyOf(input) === key,
    ({ spiffeId }) => spiffeId === entry.spiffeId,
  ];
  for (const isLike of tests) {
    const found = inputs.findIndex(isLike);
    if (found !== -1) return inputs.findLastIndex(isLike) === found ? found : undefined;
  }
  return undefined;
}

function keyOf({ spiffeId, selectors }: Pick<DeclaredEntry, 'spiffeId' | 'selectors'>): string {
  return [spiffeId, ...selectors.map(formatSelector).sort()].join(' ');
}
