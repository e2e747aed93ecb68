/** Makes changes during requests that go through front-envoy to both services. */

import { expect, wait } from '../expect.ts';
import type { Shown } from '../report.ts';
import { SERVICES, type Stage } from '../stage.ts';
import { startTraffic, type Traffic } from '../traffic.ts';
import { frontUrl, routeOf } from './requests.ts';

/** Minimum number of requests before and after a change, so that "none failed" is meaningful. */
const ENOUGH = 20;

/** Makes a change during requests to both services, each with its own handshake. None may fail. */
export async function underTraffic(stage: Stage, change: (traffic: Traffic) => Promise<string>): Promise<Shown> {
  const urls = SERVICES.map((service) => frontUrl(stage, routeOf(service)));
  const traffic = startTraffic(urls, stage.certificate);
  try {
    await more(traffic);
    const what = await change(traffic);
    await more(traffic);
    await traffic.stop();
    const { requests, failures } = traffic;
    expect(failures.length === 0, 'no failed request', `${failures.length} of ${requests} failed: ${failures[0]}`);
    return { detail: `${what}; ${requests} requests, none failed` };
  } finally {
    await traffic.stop();
  }
}

export async function more(traffic: Traffic): Promise<void> {
  const wanted = traffic.requests + ENOUGH;
  await wait('more requests', { look: async () => traffic.requests, until: (requests) => requests >= wanted });
}
