/** What can be said of an entry on its own: whether it has ended, which comes first, and when two are the same. */

import { compareText, formatSelector } from '../spiffe/selector.ts';
import type { Entry, EntryInput, Registry } from './types.ts';

/** True from the instant `expiresAt` on. */
export function isExpired(entry: Pick<Entry, 'expiresAt'>, now: number): boolean {
  return entry.expiresAt !== 0 && entry.expiresAt <= now;
}

/** The order of entries wherever they are listed: oldest first, then by id (by code unit, whatever the locale). */
export function compareAge(a: Pick<Entry, 'createdAt' | 'id'>, b: Pick<Entry, 'createdAt' | 'id'>): number {
  return a.createdAt - b.createdAt || compareText(a.id, b.id);
}

/** Equal for two entries that say the same of the same caller: SPIFFE ID, selectors and parent. SPIRE calls them similar. */
export function similarityKey(entry: Pick<EntryInput, 'spiffeId' | 'selectors' | 'parentId'>): string {
  return JSON.stringify([entry.spiffeId, entry.parentId, ...entry.selectors.map(formatSelector)]);
}

/** The entry that an input of a finished write is stored as. */
export function storedAs(input: EntryInput, registry: Pick<Registry, 'get' | 'bySpiffeId'>): Entry | undefined {
  if (input.id !== undefined) return registry.get(input.id);
  const key = similarityKey(input);
  return registry.bySpiffeId(input.spiffeId).find((entry) => similarityKey(entry) === key);
}

/** The places of the first two inputs of one write that would be the same entry: the same id, or similar ones. */
export function findTwins(inputs: readonly EntryInput[]): readonly [number, number] | undefined {
  const seen = new Map<string, number>();
  for (const [index, input] of inputs.entries()) {
    const keys = [similarityKey(input), ...(input.id === undefined ? [] : [`id ${input.id}`])];
    for (const key of keys) {
      const earlier = seen.get(key);
      if (earlier !== undefined) return [earlier, index];
      seen.set(key, index);
    }
  }
  return undefined;
}
