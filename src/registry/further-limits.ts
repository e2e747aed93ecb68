/**
 * Limits on what entries ask of every attestation: each negative selector and each placeholder of any entry is looked up
 * for each caller.
 */

import { SidekeyError } from '../base/index.ts';
import { formatSelector, isNegated, isTemplate } from '../spiffe/index.ts';
import { placeholdersOf } from './templates.ts';
import type { Entry } from './types.ts';

/** Maximum number of different negative selectors in all entries. */
export const MAX_NEGATIVES = 256;
/** Maximum number of different placeholders in all entries. */
export const MAX_PLACEHOLDERS = 64;

interface Limited {
  readonly what: string;
  readonly path: string;
  readonly most: number;
  keysOf(entry: Entry): readonly string[];
}

const LIMITED: readonly Limited[] = [
  {
    what: 'negative selectors',
    path: '/selectors',
    most: MAX_NEGATIVES,
    keysOf: ({ selectors }) => selectors.filter(isNegated).map(formatSelector),
  },
  {
    what: 'placeholders',
    path: '/spiffe_id',
    most: MAX_PLACEHOLDERS,
    keysOf: (entry) => placeholdersOf(entry).map(({ name }) => name),
  },
];

/** Counts what the stored entries ask for. */
export class FurtherLimits {
  readonly #counts = LIMITED.map(() => new Map<string, number>());

  count(entry: Entry, change: 1 | -1): void {
    if (!asksForMore(entry)) return;
    for (const [at, { keysOf }] of LIMITED.entries()) {
      for (const key of keysOf(entry)) add(this.#counts[at]!, key, change);
    }
  }

  /**
   * Checks a write before it is made. One that adds nothing is not refused.
   * @throws ERR_BAD_INPUT if there would be too many
   */
  check(all: readonly Entry[], replaced: readonly Entry[]): void {
    const added = all.filter(asksForMore);
    if (added.length === 0) return;
    const removed = replaced.filter(asksForMore);
    for (const [at, limited] of LIMITED.entries()) {
      const change = new Map<string, number>();
      for (const entry of added) for (const key of limited.keysOf(entry)) add(change, key, 1);
      if (change.size === 0) continue;
      for (const entry of removed) for (const key of limited.keysOf(entry)) add(change, key, -1);
      const counts = this.#counts[at]!;
      let size = counts.size;
      for (const [key, more] of change) {
        const before = counts.get(key) ?? 0;
        size += Number(before + more > 0) - Number(before > 0);
      }
      if (size <= limited.most || size <= counts.size) continue;
      const problem = `all entries together would have ${size} different ${limited.what}`;
      const rule = `at most ${limited.most}, since each is looked up for every caller: delete entries that need others`;
      throw SidekeyError.badInput([{ path: limited.path, problem, rule }]);
    }
  }
}

/** False for most entries. */
function asksForMore({ spiffeId, selectors }: Entry): boolean {
  return isTemplate(spiffeId) || selectors.some(isNegated);
}

/** A count of 0 is deleted. */
function add(counts: Map<string, number>, key: string, change: number): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
