/** Follows the state of proxies: reads it again after events, and at intervals. */

import { setTimeout as pause } from 'node:timers/promises';
import type { AdminClient } from '../client/index.ts';
import { type Proxies, type ProxyFilter, readProxies } from './proxy-rows.ts';

/** Interval for changes without an event, such as a secret that becomes stale, in milliseconds. */
const LOOK_MS = 5_000;
/** Minimum time between two reads, in milliseconds. */
const REST_MS = 200;
/** The pause is at least this multiple of the time that a read took, to limit the load on a large server. */
const REST_SHARE = 4;

/** Shows the state at first and after each change; ends only with an error. @throws AdminError */
export async function watchProxies(
  client: AdminClient,
  filter: ProxyFilter,
  show: (proxies: Proxies) => void,
): Promise<never> {
  for (;;) await watchUntilLagged(client, filter, show);
}

async function watchUntilLagged(
  client: AdminClient,
  filter: ProxyFilter,
  show: (proxies: Proxies) => void,
): Promise<void> {
  let happened = false;
  let ended = false;
  let wake = () => {};
  const events = await client.events();
  const listening = (async () => {
    for await (const { event } of events) {
      if (event === 'lagged') return;
      happened = true;
      wake();
    }
    throw new Error('the server stopped; run the command again when it is back');
  })().finally(() => {
    ended = true;
    wake();
  });
  // Prevents an unhandled rejection if a read fails too: the read's error is reported instead.
  listening.catch(() => undefined);
  while (!ended) {
    happened = false;
    const begun = performance.now();
    show(await readProxies(client, filter));
    const rest = Math.max(REST_MS, REST_SHARE * (performance.now() - begun));
    await pause(rest);
    if (happened || ended) continue;
    await new Promise<void>((resolve) => {
      const look = setTimeout(resolve, LOOK_MS);
      wake = () => {
        clearTimeout(look);
        resolve();
      };
    });
  }
  await listening;
}
