/** Issued certificates and tokens, by the filters of the address. */

import type { IssuancePage } from '../../gen/admin-api.ts';
import { api } from '../shell/api.ts';

/** Issuances of one page. */
const PAGE = 100;
/** A page of a search may be short before the last one: that many are read for one page here. */
const READINGS = 10;

/** A SPIFFE ID with an asterisk at its end stands for all that begin so. */
export async function readIssuances(query: URLSearchParams): Promise<IssuancePage> {
  const [spiffeId, serial, entryId, since, until] = ['spiffe_id', 'serial', 'entry_id', 'since', 'until'].map(
    (name) => query.get(name) ?? undefined,
  );
  const kind = query.get('kind');
  const ask = (cursor: string, limit: number) =>
    api.listIssuances({
      query: {
        ...{ spiffe_id: spiffeId, serial, entry_id: entryId, since, until, limit },
        ...((kind === 'x509' || kind === 'jwt') && { kind }),
        ...(/^\d+$/.test(cursor) && { cursor: Number(cursor) }),
      },
    });
  let page = await ask(query.get('cursor') ?? '', PAGE);
  for (let reading = 1; reading < READINGS; reading += 1) {
    if (page.next_cursor === '' || page.issuances.length >= PAGE) break;
    const next = await ask(page.next_cursor, PAGE - page.issuances.length);
    page = { ...next, issuances: [...page.issuances, ...next.issuances] };
  }
  return page;
}
