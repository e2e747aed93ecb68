/** Reads the secrets of proxies that need attention, for `sidekey proxies --check` and `sidekey doctor`. */

import type { AdminClient } from '../client/index.ts';
import type { EntryJson } from '../registry/index.ts';
import { entriesOf } from './entry.ts';
import { troubleOf, waitsForEntry } from './proxy-check.ts';
import { type Proxies, type ProxyFilter, type ProxyRow, readProxies, rowsOf } from './proxy-rows.ts';

export interface ProxyTroubles extends Proxies {
  readonly rows: readonly ProxyRow[];
  readonly troubled: readonly { readonly row: ProxyRow; readonly trouble: string }[];
}

/**
 * @param waiting names that wait for an entry that never existed need attention too
 * @param readEntries called only if a name waits for an entry
 * @throws AdminError
 */
export async function readTroubles(
  client: AdminClient,
  filter: ProxyFilter,
  waiting: boolean,
  readEntries: () => Promise<EntryJson[]> = () => entriesOf(client),
): Promise<ProxyTroubles> {
  const proxies = await readProxies(client, { ...filter, history: true });
  const rows = rowsOf(proxies);
  const entries = rows.some(waitsForEntry) ? await readEntries() : [];
  const expected = { waiting, spiffeIds: entries.map(({ spiffe_id: id }) => id) };
  const troubled = rows.flatMap((row) => {
    const trouble = troubleOf(row, proxies.now, expected);
    return trouble === undefined ? [] : [{ row, trouble }];
  });
  return { ...proxies, rows, troubled };
}
