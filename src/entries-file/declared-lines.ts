/** Finds the lines at which an entries file declares entries, for messages. */

import type { EntryInput } from '../registry/index.ts';
import { formatSelector, parseIdOrTemplate, type Selector, trustDomainOfEither } from '../spiffe/index.ts';
import { loadEntriesFile } from './entries-file.ts';

/** Maximum size of a file that is searched, in bytes; of a folder, twice that: the search blocks the event loop. */
const MAX_BYTES = 256 * 1024;

/** An entry that is looked for. */
export interface DeclaredEntry {
  readonly id: string;
  readonly spiffeId: string;
  readonly selectors: readonly Selector[];
}

/** Where an entry is declared. */
export interface DeclaredPlace {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/**
 * Where these entries are in the file, or in the files of the folder, by entry id. Entries without an unambiguous match
 * are left out, since the file may have changed after it was applied; no entry is found in a file with a fault.
 */
export async function declaredLines(
  file: string,
  entries: readonly DeclaredEntry[],
): Promise<ReadonlyMap<string, DeclaredPlace>> {
  const places = new Map<string, DeclaredPlace>();
  const [first] = entries;
  if (first === undefined) return places;
  // The most permissive rules, since it is not known under which rules the server applied the file.
  const rules = { trustDomain: trustDomainOfEither(parseIdOrTemplate(first.spiffeId)), allowWeakSelectors: true };
  const declared = await loadEntriesFile(file, rules, { maxBytes: MAX_BYTES }).catch(() => undefined);
  if (declared === undefined) return places;
  for (const entry of entries) {
    const index = indexOf(entry, declared.inputs);
    const place = index === undefined ? undefined : declared.placeOf(index);
    if (place !== undefined) places.set(entry.id, { file: place.name, line: place.line });
  }
  return places;
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
