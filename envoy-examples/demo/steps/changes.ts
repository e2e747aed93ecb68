/** Steps that change something during traffic: SVIDs rotate, an entry is deleted and made again, Sidekey restarts. */

import { EXAMPLES, type Example } from '../bootstraps.ts';
import { expect, wait } from '../expect.ts';
import { type Shown, step } from '../report.ts';
import { SERVICES, type Stage } from '../stage.ts';
import { startTraffic, type Traffic } from '../traffic.ts';
import { frontUrl, get, routeOf } from './requests.ts';
import { entryFor, idOf } from './start.ts';

/** In seconds. SVIDs are renewed at half of it, so the step lasts only a few seconds. */
const SHORT_TTL = 4;
/** In seconds, for the step that waits until the SVID ends. */
const SHORTEST_TTL = 2;
/** Minimum number of requests before and after a change, so that "none failed" is meaningful. */
const ENOUGH = 20;

export async function showChanges(stage: Stage): Promise<void> {
  await step('SVIDs rotate under traffic', () => underTraffic(stage, (traffic) => rotate(stage, traffic)));
  await deleteEntry(stage);
  await step('Sidekey restarts under traffic', () => underTraffic(stage, (traffic) => restart(stage, traffic)));
}

/** Makes a change during requests to both services, each with its own handshake. None may fail. */
async function underTraffic(stage: Stage, change: (traffic: Traffic) => Promise<string>): Promise<Shown> {
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

async function more(traffic: Traffic): Promise<void> {
  const wanted = traffic.requests + ENOUGH;
  await wait('more requests', { look: async () => traffic.requests, until: (requests) => requests >= wanted });
}

/** Both ends of the connections get new SVIDs: first because their entries' TTL changes, then by renewal. */
async function rotate(stage: Stage, traffic: Traffic): Promise<string> {
  const rotating = ['front-envoy', 'service-gray'] as const;
  let serials = await Promise.all(rotating.map((name) => serialOf(stage, name)));
  const rotated = async () => {
    const next = rotating.map((name, i) => stage.envoys[name].hasSvid(idOf(name), serials[i]));
    serials = (await Promise.all(next)).map(({ serial }) => serial);
    await more(traffic);
  };
  for (const name of rotating) await setTtl(stage, name, SHORT_TTL);
  await rotated();
  await rotated();
  for (const name of rotating) await setTtl(stage, name, 0);
  await rotated();
  return `${rotating.join(' and ')}: three new serials each`;
}

async function deleteEntry(stage: Stage): Promise<void> {
  const name = 'service-purple';
  const { sidekey, envoys } = stage;
  const place = `/v1/entries/${name}`;
  await step('an entry is deleted: no renewal', async () => {
    const { serial } = (await envoys[name].svid())!;
    await setTtl(stage, name, SHORTEST_TTL);
    await envoys[name].hasSvid(idOf(name), serial);
    const { status } = await sidekey.ask('DELETE', place);
    expect(status === 204, `DELETE ${place} to give 204`, status);
    await waitForStatus(stage, 503);
    return { detail: `status 503 once its last SVID ended, which had a TTL of ${SHORTEST_TTL} s` };
  });
  await step('the entry is made again', async () => {
    const begin = performance.now();
    const { status, body } = await sidekey.ask('POST', '/v1/entries', entryFor(stage, name));
    expect(status === 201, 'POST /v1/entries to give 201', `${status} ${body}`);
    await waitForStatus(stage, 200);
    return { ms: performance.now() - begin, detail: `from the REST call to a successful request` };
  });
}

async function waitForStatus(stage: Stage, status: number): Promise<void> {
  const place = routeOf('service-purple');
  await wait(`${place} to give ${status}`, {
    look: async () => (await get(stage, place)).status,
    until: (seen) => seen === status,
  });
}

async function restart(stage: Stage, traffic: Traffic): Promise<string> {
  const serials = await Promise.all(EXAMPLES.map((name) => serialOf(stage, name)));
  const begin = performance.now();
  await stage.sidekey.stop();
  await more(traffic);
  await stage.sidekey.start();
  const down = performance.now() - begin;
  await Promise.all(EXAMPLES.map((name, i) => stage.envoys[name].hasSvid(idOf(name), serials[i])));
  return `down for ${down.toFixed(0)} ms, then each Envoy got a new SVID`;
}

async function serialOf(stage: Stage, name: Example): Promise<string> {
  return (await stage.envoys[name].hasSvid(idOf(name))).serial;
}

/** @param ttl in seconds; 0 for the server's default */
async function setTtl(stage: Stage, name: Example, ttl: number): Promise<void> {
  const place = `/v1/entries/${name}`;
  const { status, body } = await stage.sidekey.ask('PATCH', place, { x509_svid_ttl: ttl });
  expect(status === 200, `PATCH ${place} to give 200`, `${status} ${body}`);
}
