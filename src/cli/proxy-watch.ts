/** Follows what proxies have: looks again when something happened, and now and then. */

import { setTimeout as pause } from 'node:timers/promises';
import type { AdminClient } from '../admin/client.ts';
import { type Proxies, readProxies } from './proxy-rows.ts';

/** Some things change with time alone: what is never answered becomes stale. In milliseconds. */
const LOOK_MS = 5_000;
/** Between two looks, at least. */
const REST_MS = 200;
/** And at least so many times what a look took: watching a large server costs it a fifth of its time at most. */
const REST_SHARE = 4;

/** Shows what is there at first, and then after each change; ends only by an error. @throws AdminError */
export async function watchProxies(
  client: AdminClient,
  filter: URLSearchParams,
  show: (proxies: Proxies) => void,
): Promise<never> {
  for (;;) await watchUntilLagged(client, filter, show);
}

async function watchUntilLagged(
  client: AdminClient,
  filter: URLSearchParams,
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
  // Where a look fails too, its reason is as good.
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
