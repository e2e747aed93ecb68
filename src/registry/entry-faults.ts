/** Entries that do nothing, and why. */

import { redactSelector } from '../attest/selector-kinds.ts';
import { formatSelector, type Selector } from '../spiffe/selector.ts';
import { compareAge, isExpired } from './entry.ts';
import type { Entry, Registry } from './types.ts';

export interface EntryFault {
  readonly kind: /** It is over. */
    | 'expired'
    /** No attestor gives one of its selectors. */
    | 'unproducible'
    /** An older entry gives the same SPIFFE ID to everybody whom this one gives it to, and goes first. */
    | 'shadowed'
    /** Nobody was ever given its SPIFFE ID, {@link NEVER_ISSUED_MS} after it was made. */
    | 'never-issued';
  readonly entry: Entry;
  readonly detail: string;
  /** Of `shadowed`: the other entry. */
  readonly by?: string;
  /** Of `unproducible`: the selectors that were likely meant. */
  readonly meant?: readonly Selector[];
}

export interface EntryFaultsParts {
  readonly registry: Pick<Registry, 'list' | 'bySpiffeId'>;
  /** Why no attestor gives this selector; undefined where one can. */
  readonly whyNever: (selector: Selector) => string | undefined;
  /** What was likely meant by a selector that nobody has; undefined where that is not known. */
  readonly meant: (selector: Selector) => Selector | undefined;
  /** SPIFFE IDs that were issued at some time. */
  readonly issued: ReadonlySet<string>;
  readonly now: number;
}

/** An entry may be made before the workload that it is for; in milliseconds. */
export const NEVER_ISSUED_MS = 3_600_000;

/** One fault an entry at most, the first that explains it; in the order of the entries, made while it is read. */
export function* entryFaults(parts: EntryFaultsParts): Iterable<EntryFault | undefined> {
  let cursor: string | undefined;
  do {
    const page = parts.registry.list({ limit: 1_000, ...(cursor === undefined ? {} : { cursor }) });
    for (const entry of page.entries) yield faultOf(entry, parts);
    cursor = page.nextCursor;
  } while (cursor !== '');
}

function faultOf(entry: Entry, parts: EntryFaultsParts): EntryFault | undefined {
  const { registry, whyNever, issued, now } = parts;
  if (isExpired(entry, now)) {
    return { kind: 'expired', entry, detail: `it expired at ${new Date(entry.expiresAt).toISOString()}` };
  }
  for (const selector of entry.selectors) {
    const why = whyNever(selector);
    if (why === undefined) continue;
    return { kind: 'unproducible', entry, detail: `${redactSelector(selector)}: ${why}`, ...mended(entry, parts) };
  }
  const others = registry.bySpiffeId(entry.spiffeId);
  const by = others.find((other) => compareAge(other, entry) < 0 && !isExpired(other, now) && covers(other, entry));
  if (by !== undefined) {
    return { kind: 'shadowed', entry, detail: `entry ${by.id} gives the same to the same callers, first`, by: by.id };
  }
  if (issued.has(entry.spiffeId) || now - entry.createdAt < NEVER_ISSUED_MS) return undefined;
  return { kind: 'never-issued', entry, detail: 'nobody was ever given it' };
}

/** The entry's selectors with what was meant in place of what nobody has, if that is known of each. */
function mended({ selectors }: Entry, { whyNever, meant }: EntryFaultsParts): Pick<EntryFault, 'meant'> {
  const instead = selectors.map((selector) => (whyNever(selector) === undefined ? selector : meant(selector)));
  if (!instead.every((selector) => selector !== undefined)) return {};
  // What was meant may be there already.
  return { meant: [...new Map(instead.map((selector) => [formatSelector(selector), selector])).values()] };
}

/** True if whoever matches `entry` matches `other` too. */
function covers(other: Entry, entry: Entry): boolean {
  const keys = new Set(entry.selectors.map(formatSelector));
  return other.selectors.every((selector) => keys.has(formatSelector(selector)));
}
