/** Chooses the identity for the SDS name `default`. */

import type { Grant } from './grant.ts';

/**
 * The entry with the hint `default`, else the oldest.
 * @param entries the entries that a caller matches, oldest first
 */
export function defaultEntry(entries: readonly Grant[]): Grant | undefined {
  return entries.find((entry) => entry.hint === 'default') ?? entries[0];
}
