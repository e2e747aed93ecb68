/** Steps that change something during traffic: SVIDs and the root rotate, an entry is deleted and made again, Sidekey restarts. */

import { EXAMPLES, type Example } from '../bootstraps.ts';
import { expect, wait } from '../expect.ts';
import { step } from '../report.ts';
import type { Stage } from '../stage.ts';
import type { Traffic } from '../traffic.ts';
import { get, routeOf } from './requests.ts';
import { showRootRotation } from './root-rotation.ts';
import { entryFor, idOf } from './start.ts';
import { more, underTraffic } from './under-traffic.ts';

/** In seconds. SVIDs are renewed at half of it, so the step lasts only a few seconds. */
const SHORT_TTL = 4;
/** In seconds, for the step that waits until the SVID ends. */
const SHORTEST_TTL = 2;

export async function showChanges(stage: Stage): Promise<void> {
  await step('SVIDs rotate under traffic', () => underTraffic(stage, (traffic) => rotate(stage, traffic)));
  await showRootRotation(stage);
  await deleteEntry(stage);
  await step('Sidekey restarts under traffic', () => underTraffic(stage, (traffic) => restart(stage, traffic)));
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
