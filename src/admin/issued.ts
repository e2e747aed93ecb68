/** Finds out which SPIFFE IDs were ever issued. */

import { setImmediate as turn } from 'node:timers/promises';
import type { IssuanceStore } from '../registry/index.ts';

/** The number of SPIFFE IDs per query to the store. */
const ASKED_AT_ONCE = 500;

/** The SPIFFE IDs among `ids` that were ever issued; yields to the event loop between queries. @throws ERR_STORE */
export async function issuedOf(
  ids: readonly string[],
  issuances: Pick<IssuanceStore, 'issuedOf'>,
): Promise<ReadonlySet<string>> {
  const issued = new Set<string>();
  for (let at = 0; at < ids.length; at += ASKED_AT_ONCE) {
    for (const id of await issuances.issuedOf(ids.slice(at, at + ASKED_AT_ONCE))) issued.add(id);
    await turn();
  }
  return issued;
}
