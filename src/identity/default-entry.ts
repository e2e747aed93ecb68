/** Chooses the identity for the SDS name `default`. */

import type { Entry } from '../registry/index.ts';

/**
 * The entry with the hint `default`, else the oldest.
 * @param entries the entries that a caller matches, oldest first
 */
export function defaultEntry(entries: readonly Entry[]): Entry | undefined {
  return entries.find((entry) => entry.hint === 'default') ?? entries[0];
}
