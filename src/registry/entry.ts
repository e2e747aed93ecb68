/** Functions on single entries: expiry, order and equality. */

import { compareText, EVERY_DOMAIN, formatSelector } from '../spiffe/index.ts';
import { ENTRY_FIELD_LIST } from './entry-fields.ts';
import type { Entry, EntryInput, Registry } from './types.ts';

/** True from the instant `expiresAt` on. */
export function isExpired(entry: Pick<Entry, 'expiresAt'>, now: number): boolean {
  return entry.expiresAt !== 0 && entry.expiresAt <= now;
}

/** The order of all lists of entries: oldest first, then by id (by code unit, independent of the locale). */
export function compareAge(a: Pick<Entry, 'createdAt' | 'id'>, b: Pick<Entry, 'createdAt' | 'id'>): number {
  return a.createdAt - b.createdAt || compareText(a.id, b.id);
}

/** Whether its parent is the server: where agents attach, it is a name for the agents with its selectors, and for no workload. */
export function isNodeAlias({ parentId }: Pick<Entry, 'parentId'>): boolean {
  return /^spiffe:\/\/[^/]+\/(spire|sidekey)\/server$/.test(parentId);
}

/** Equal for entries with the same SPIFFE ID, selectors and parent; SPIRE calls them similar. */
export function similarityKey(entry: Pick<EntryInput, 'spiffeId' | 'selectors' | 'parentId'>): string {
  return JSON.stringify([entry.spiffeId, entry.parentId, ...entry.selectors.map(formatSelector)]);
}

/** The stored entry of an input after its write has finished. */
export function storedAs(input: EntryInput, registry: Pick<Registry, 'get' | 'bySpiffeId'>): Entry | undefined {
  if (input.id !== undefined) return registry.get(input.id);
  const key = similarityKey(input);
  return registry.bySpiffeId(input.spiffeId).find((entry) => similarityKey(entry) === key);
}

/** Finds inputs of a write with the same id, or that are similar. */
export class TwinFinder {
  readonly #seen = new Map<string, number>();

  /** The index of an earlier input that is the same; undefined if there is none. */
  add(input: EntryInput, index: number): number | undefined {
    const keys = [similarityKey(input), ...(input.id === undefined ? [] : [`id ${input.id}`])];
    for (const key of keys) {
      const earlier = this.#seen.get(key);
      if (earlier !== undefined) return earlier;
      this.#seen.set(key, index);
    }
    return undefined;
  }
}

/** The indexes of the first two inputs of a write with the same id, or that are similar. */
export function findTwins(inputs: readonly EntryInput[]): readonly [number, number] | undefined {
  const finder = new TwinFinder();
  for (const [index, input] of inputs.entries()) {
    const earlier = finder.add(input, index);
    if (earlier !== undefined) return [earlier, index];
  }
  return undefined;
}

/** The rows of the fields in which two versions of an entry differ. */
export function differingFields(before: Entry, after: Entry): (typeof ENTRY_FIELD_LIST)[number][] {
  return ENTRY_FIELD_LIST.filter(([key]) => {
    const [one, other] = [before[key], after[key]];
    return one !== other && (typeof one !== 'object' || JSON.stringify(one) !== JSON.stringify(other));
  });
}

/** Whether callers that get the entry get the bundle of this trust domain. */
export function isFederated({ federatesWith }: Pick<Entry, 'federatesWith'>, trustDomain: string): boolean {
  return federatesWith.some((one) => one === trustDomain || one === EVERY_DOMAIN);
}
