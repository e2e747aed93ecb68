/** Converts entries to and from database rows. */

import { type TrustDomain, trustDomainOfEither } from '../../spiffe/index.ts';
import { ENTRY_FIELD_LIST, type Entry, type EntryRow } from '../entry-fields.ts';

export type { EntryRow } from '../entry-fields.ts';

export const ENTRY_COLUMNS: readonly string[] = ENTRY_FIELD_LIST.map(([, { name }]) => name);

/**
 * Reads a row.
 *
 * @throws {Error} if it is not an entry of this trust domain, which means that the database was edited by hand
 */
export function fromRow(row: EntryRow, trustDomain: TrustDomain): Entry {
  const fields: Record<string, unknown> = {};
  for (const [key, { name, column }] of ENTRY_FIELD_LIST) fields[key] = column.fromColumn(row[name] as never);
  const entry = fields as Entry;
  const { spiffeId } = entry;
  if (trustDomainOfEither(spiffeId) !== trustDomain) throw new Error(`${spiffeId} is not in ${trustDomain}`);
  return entry;
}

export function toRow(entry: Entry): EntryRow {
  const row: Record<string, string | number> = {};
  for (const [key, { name, column }] of ENTRY_FIELD_LIST) row[name] = column.toColumn(entry[key] as never);
  return row as EntryRow;
}
