/** The first steps: Sidekey and the Envoys start, and the Envoys get their identities. */

import { withFullHandshakes, withMistakenRoute } from '../alterations.ts';
import { EXAMPLES, type Example } from '../bootstraps.ts';
import { expect, wait } from '../expect.ts';
import { step } from '../report.ts';
import { TRUST_DOMAIN } from '../sidekey.ts';
import { SERVICES, type Stage, startApp } from '../stage.ts';

export const BUNDLE = `spiffe://${TRUST_DOMAIN}`;

export function idOf(name: Example): string {
  return `${BUNDLE}/${name}`;
}

/** The entry that gives an Envoy its identity, and only to this Envoy. */
export function entryFor(stage: Stage, name: Example) {
  const selectors = [
    { type: 'unix', value: `uid:${process.getuid!()}` },
    { type: 'unix', value: `path:${stage.envoys[name].binary}` },
  ];
  return { id: name, spiffe_id: idOf(name), selectors };
}

/** @param binary path of Envoy @param requestsPerConnection from front-envoy to the services, each with a full handshake */
export async function start(stage: Stage, binary: string, requestsPerConnection = 1): Promise<void> {
  await step('Sidekey is ready', async () => {
    await stage.sidekey.start();
    return { detail: `trust domain ${TRUST_DOMAIN}, pipe ${stage.pipe}` };
  });
  await step('three Envoys wait for their identities', async () => {
    await Promise.all(EXAMPLES.map((name) => stage.envoys[name].place(binary)));
    await Promise.all([
      ...SERVICES.map((service) => startApp(stage, service)),
      ...EXAMPLES.map((name) => startWaiting(stage, name, requestsPerConnection)),
    ]);
    return { detail: 'each has asked for its SVID and the bundle, and both are held' };
  });
  await makeEntries(stage);
  await step('all three Envoys are live', async () => {
    await Promise.all(EXAMPLES.map((name) => stage.envoys[name].isLive()));
    return { detail: 'their listeners are open' };
  });
}

async function startWaiting(stage: Stage, name: Example, requestsPerConnection: number): Promise<void> {
  const envoy = stage.envoys[name];
  const moved = stage.bootstrap(name);
  await envoy.start(
    stage.processes,
    name === 'front-envoy' ? withFullHandshakes(withMistakenRoute(moved), requestsPerConnection) : moved,
  );
  for (const secret of [idOf(name), BUNDLE]) {
    await stage.sidekey.logged(`${secret} is held for ${name}`, (line) => {
      return line.msg === 'name held' && line.pid === envoy.pid && line.name === secret;
    });
  }
  const state = await envoy.state();
  expect(state !== 'LIVE', `${name} not to be LIVE before it has an identity`, state);
}

async function makeEntries(stage: Stage): Promise<void> {
  const entries = EXAMPLES.map((name) => entryFor(stage, name));
  const begin = performance.now();
  const times = Promise.all(EXAMPLES.map((name) => timeToSecrets(stage, name, begin)));
  await step('their entries are made over REST', async () => {
    const answer = await stage.sidekey.ask('POST', '/v1/entries', { entries });
    const ms = performance.now() - begin;
    expect(answer.status === 201, 'POST /v1/entries to give 201', `${answer.status} ${answer.body}`);
    await times;
    return { ms, detail: 'POST /v1/entries, three in one transaction' };
  });
  for (const [i, ms] of (await times).entries()) {
    const name = EXAMPLES[i]!;
    await step(`${name} has its secrets`, async () => ({ ms, detail: `${idOf(name)}, from the REST call on` }));
  }
}

async function timeToSecrets(stage: Stage, name: Example, begin: number): Promise<number> {
  const envoy = stage.envoys[name];
  for (const secret of [idOf(name), BUNDLE]) {
    await wait(`${name} to apply ${secret}`, {
      look: () => envoy.secret(secret),
      until: ({ applied }) => applied > 0,
    });
  }
  return performance.now() - begin;
}
