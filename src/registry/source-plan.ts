/** Compares the entries that a source declares with the stored ones, in slices: a source may declare 100,000 entries. */

import { FILE_SOURCE, Slices } from '../base/index.ts';
import { similarityKey, TwinFinder } from './entry.ts';
import { entryOfOther, sameEntries } from './store/conflict.ts';
import type { Entry, EntryInput, EntryPatch, SourceChanges, SourceOptions } from './types.ts';

/** The registry as the plan sees it. It does not change until the plan is written, because writes are queued. */
export interface PlannedOn {
  entries(): Iterable<Entry>;
  get(id: string): Entry | undefined;
  /** An entry of any source with the same SPIFFE ID, selectors and parent. */
  similarTo(input: EntryInput): Entry | undefined;
  made(input: EntryInput, source: string): Entry;
  /** The entry with the patch applied; the same object if nothing changes. */
  changed(before: Entry, patch: EntryPatch & { readonly source?: string }): Entry;
}

/**
 * What makes the entries of `source` equal to the inputs; see {@link Registry.replaceSource}.
 * @throws ERR_ENTRY_EXISTS if two inputs are the same, or one has the id of another source's entry and differs from it
 */
export async function planSource(
  source: string,
  inputs: readonly EntryInput[],
  { prune = true, adopt = false }: SourceOptions,
  on: PlannedOn,
): Promise<SourceChanges> {
  const slices = new Slices();
  const named = new Set(inputs.map((input) => input.id));
  const mine: Entry[] = [];
  /** The entries of the source that no input names by id. */
  const unnamed = new Map<string, Entry>();
  for (const entry of on.entries()) {
    if (entry.source !== source) continue;
    mine.push(entry);
    if (!named.has(entry.id)) unnamed.set(similarityKey(entry), entry);
    if (slices.isOver()) await slices.next();
  }
  const finder = new TwinFinder();
  const created: Entry[] = [];
  const changed: Entry[] = [];
  const replaced: Entry[] = [];
  const kept: Entry[] = [];
  const twins: { index: number; entry: Entry }[] = [];
  const stays = new Set<string>();
  for (const [index, input] of inputs.entries()) {
    if (slices.isOver()) await slices.next();
    const earlier = finder.add(input, index);
    if (earlier !== undefined) throw sameEntries(earlier, index, input.spiffeId);
    const own = input.id === undefined ? unnamed.get(similarityKey(input)) : on.get(input.id);
    const twin = own === undefined ? on.similarTo(input) : undefined;
    // Not what another input names by id.
    const isFree = twin !== undefined && twin.source !== FILE_SOURCE && !named.has(twin.id);
    const canAdopt = adopt && isFree && input.id === undefined;
    const before = own ?? (canAdopt ? twin : undefined);
    if (before === undefined) {
      // Both entries stay: a source may not change another's entries, and a harmless duplicate must not fail the start.
      if (twin !== undefined && twin.source !== source) twins.push({ index, entry: twin });
      created.push(on.made(input, source));
      continue;
    }
    if (before.source === source) stays.add(before.id);
    const adopts = before.source !== source && adopt && before.source !== FILE_SOURCE;
    const after = on.changed(before, adopts ? { ...input, source } : input);
    if (after === before) kept.push(before);
    else if (before.source === source || adopts) {
      changed.push(after);
      replaced.push(before);
    } else throw entryOfOther(before, index);
  }
  const missing = mine.filter((entry) => !stays.has(entry.id));
  return { created, changed, replaced, deleted: prune ? missing : [], kept, absent: prune ? [] : missing, twins };
}
