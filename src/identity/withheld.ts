/** The entries that callers do not get because they are in containers, for the startup warning and doctor. */

import { compareAge, type EntriesView, type Entry, isExpired, isForContained } from '../registry/index.ts';
import type { Decisions } from './decisions.ts';
import type { Identities } from './identities.ts';

export interface WithheldEntry {
  readonly entry: Entry;
  /** Open connections. */
  readonly callers: number;
  /** Pids of some of them. */
  readonly pids: readonly number[];
  /** Why the last of them counts as in a container; undefined if none is connected. */
  readonly why: string | undefined;
  /** Records of the last day that name the entry. */
  readonly decisions: number;
  /** When the newest of them was made, in milliseconds since the epoch; undefined if there is none. */
  readonly lastAt: number | undefined;
}

export interface WithheldParts {
  readonly identities: Pick<Identities, 'withheld'>;
  readonly decisions: Pick<Decisions, 'list'>;
  readonly registry: Pick<EntriesView, 'get'>;
}

const SHOWN_PIDS = 5;
/** All records are read in one page. */
const MAX_DECISIONS = 1_000;

/** Oldest first. @throws ERR_STORE */
export async function withheldEntries(parts: WithheldParts, now: number): Promise<WithheldEntry[]> {
  const { identities, decisions, registry } = parts;
  const found = new Map<string, WithheldEntry>();
  const add = (entry: Entry, change: (known: WithheldEntry) => Partial<WithheldEntry>) => {
    const none = { entry, callers: 0, pids: [], why: undefined, decisions: 0, lastAt: undefined };
    const known = found.get(entry.id) ?? none;
    found.set(entry.id, { ...known, ...change(known) });
  };
  for (const { entry, callers, pids, why } of identities.withheld()) {
    add(entry, (known) => ({
      callers: known.callers + callers,
      pids: [...known.pids, ...pids].slice(0, SHOWN_PIDS),
      why,
    }));
  }
  const { decisions: records } = await decisions.list({ reason: 'contained', limit: MAX_DECISIONS });
  for (const { at, candidates } of records) {
    for (const { entryId, lacks } of candidates) {
      const entry = lacks.length === 0 ? registry.get(entryId) : undefined;
      // The entry may have changed or expired since.
      if (entry === undefined || isForContained(entry) || isExpired(entry, now)) continue;
      add(entry, (known) => ({ decisions: known.decisions + 1, lastAt: Math.max(known.lastAt ?? 0, at) }));
    }
  }
  return [...found.values()].sort((a, b) => compareAge(a.entry, b.entry));
}
