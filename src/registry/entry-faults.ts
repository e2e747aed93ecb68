/** Finds entries without effect. */

import { redactSelector } from '../attest/index.ts';
import { formatSelector, isTemplate, pathOf, type Selector } from '../spiffe/index.ts';
import { compareAge, isExpired, isNodeAlias } from './entry.ts';
import { isReservedPath } from './entry-readers.ts';
import { everyEntry } from './list.ts';
import type { EntriesView, Entry } from './types.ts';

export interface EntryFault {
  readonly kind: /** Its path is reserved for the servers of the trust domain; an earlier version accepted it. */
    | 'reserved'
    /** It is over. */
    | 'expired'
    /** No attestor can provide one of its selectors. */
    | 'unproducible'
    /** An older entry with the same SPIFFE ID matches all callers of this one, and takes precedence. */
    | 'shadowed'
    /** No SVID was issued for its SPIFFE ID within {@link NEVER_ISSUED_MS} after its creation. */
    | 'never-issued';
  readonly entry: Entry;
  readonly detail: string;
  /** For `shadowed`: the id of the other entry. */
  readonly by?: string;
  /** For `unproducible`: the selectors that were probably meant. */
  readonly meant?: readonly Selector[];
}

export interface EntryFaultsParts {
  readonly registry: Pick<EntriesView, 'list' | 'bySpiffeId' | 'isLocal'>;
  /** Why no attestor can provide this selector, beside the others of its entry; undefined if one can. */
  readonly whyNever: (selector: Selector, beside: readonly Selector[]) => string | undefined;
  /** The selector that was probably meant by one that no caller can have; undefined if unknown. */
  readonly meant: (selector: Selector) => Selector | undefined;
  /** SPIFFE IDs for which an SVID was ever issued. */
  readonly issued: ReadonlySet<string>;
  readonly now: number;
}

/** Entries may be created before their workload runs; in milliseconds. */
const NEVER_ISSUED_MS = 3_600_000;

/** Yields at most one fault per entry: the first that explains it. In the order of the entries. */
export function* entryFaults(parts: EntryFaultsParts): Iterable<EntryFault | undefined> {
  for (const entry of everyEntry(parts.registry)) yield faultOf(entry, parts);
}

function faultOf(entry: Entry, parts: EntryFaultsParts): EntryFault | undefined {
  const { registry, whyNever, issued, now } = parts;
  if (!isTemplate(entry.spiffeId) && isReservedPath(pathOf(entry.spiffeId))) {
    return {
      kind: 'reserved',
      entry,
      detail: `${pathOf(entry.spiffeId)} is below a path of the trust domain's servers`,
    };
  }
  if (isExpired(entry, now)) {
    return { kind: 'expired', entry, detail: `it expired at ${new Date(entry.expiresAt).toISOString()}` };
  }
  const isLocal = registry.isLocal(entry);
  // What callers of other hosts can have is not known here.
  for (const selector of isLocal ? entry.selectors : []) {
    const why = whyNever(selector, entry.selectors);
    if (why === undefined) continue;
    return { kind: 'unproducible', entry, detail: `${redactSelector(selector)}: ${why}`, ...mended(entry, parts) };
  }
  const others = registry.bySpiffeId(entry.spiffeId);
  const isForSameHost = (other: Entry) => (isLocal ? registry.isLocal(other) : other.parentId === entry.parentId);
  const by = others.find(
    (other) => compareAge(other, entry) < 0 && !isExpired(other, now) && isForSameHost(other) && covers(other, entry),
  );
  if (by !== undefined) {
    return {
      kind: 'shadowed',
      entry,
      detail: `entry ${by.id} is older and gives the same SPIFFE ID to all of its callers`,
      by: by.id,
    };
  }
  // SVIDs are recorded by SPIFFE ID, and those of a template are not known. A node alias has none.
  if (isTemplate(entry.spiffeId) || (!isLocal && isNodeAlias(entry))) return undefined;
  if (issued.has(entry.spiffeId) || now - entry.createdAt < NEVER_ISSUED_MS) return undefined;
  return { kind: 'never-issued', entry, detail: 'no SVID was ever issued for it' };
}

/** The entry's selectors, with the invalid ones replaced by those that were meant; undefined if one is unknown. */
function mended({ selectors }: Entry, { whyNever, meant }: EntryFaultsParts): Pick<EntryFault, 'meant'> {
  const instead = selectors.map((selector) =>
    whyNever(selector, selectors) === undefined ? selector : meant(selector),
  );
  if (!instead.every((selector) => selector !== undefined)) return {};
  // A replacement may be in the list already.
  return { meant: [...new Map(instead.map((selector) => [formatSelector(selector), selector])).values()] };
}

/** True if all callers that match `entry` match `other` too. */
function covers(other: Entry, entry: Entry): boolean {
  const keys = new Set(entry.selectors.map(formatSelector));
  return other.selectors.every((selector) => keys.has(formatSelector(selector)));
}
