/** Which identity a caller gets by the name `default`. */

import type { Entry } from '../registry/types.ts';

/** Of the entries that a caller matches, oldest first: the one with the hint `default`, else the only one, else the oldest. */
export function defaultEntry(entries: readonly Entry[]): Entry | undefined {
  return entries.find((entry) => entry.hint === 'default') ?? entries[0];
}
