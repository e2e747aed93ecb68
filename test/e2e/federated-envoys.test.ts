/** Two Sidekeys that fetch each other's bundles, and an Envoy of each: mTLS across, whatever happens to one side. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { sidekey } from '../cli/support.ts';
import { bundleEndpoint, makeAuthority } from '../support/bundle-endpoint.ts';
import { envoyForTests } from '../support/envoy.ts';
import {
  acceptingEnvoy,
  activeRoot,
  callingEnvoy,
  federate,
  makeEntry,
  type Side,
  startSide,
} from '../support/federated.ts';
import { until } from '../support/process-state.ts';
import type { RunningEnvoy } from '../support/running-envoy.ts';

const HERE = 'ilinux.io';
const THERE = 'partner.example';
const { skip, ...found } = await envoyForTests();

async function run(side: Side, ...args: string[]): Promise<string> {
  const env = { SIDEKEY_ADMIN_SOCKET: side.server.adminSocket };
  const { status, stdout, stderr } = await sidekey(args, { env });
  assert.equal(status, 0, stderr);
  return stdout;
}

async function live(...envoys: readonly RunningEnvoy[]): Promise<void> {
  for (const envoy of envoys) await envoy.live();
}

describe('two trust domains', { timeout: 240_000, skip }, () => {
  it('trust each other through rotations, an outage and a stolen endpoint, until a relationship is deleted', async (t) => {
    const { path: binary } = (found as { envoy: { path: string } }).envoy;
    const [a, b, to, local] = (await freePorts(4)) as [number, number, number, number];
    const here = await startSide(t, HERE, a);
    const there = await startSide(t, THERE, b);
    await makeEntry(here, [THERE]);
    await makeEntry(there, ['*']);
    await federate(here, there);
    await federate(there, here);
    const envoys = await Promise.all([
      acceptingEnvoy(t, binary, here, THERE, to),
      callingEnvoy(t, binary, there, HERE, { to, local }),
    ]);
    await live(...envoys);
    const ask = async () => (await call(`http://127.0.0.1:${local}/`).catch(() => ({ status: 0 }))).status;
    await until(async () => (await ask()) === 200);

    // Requests go on all the time, and none may fail.
    const failed: number[] = [];
    let asked = 0;
    let isOver = false;
    const load = (async () => {
      while (!isOver) {
        const status = await ask();
        asked += 1;
        if (status !== 200) failed.push(status);
        await sleep(20);
      }
    })();
    for (const side of [here, there]) {
      const before = await activeRoot(side);
      await run(side, 'ca', 'rotate', '--root');
      // Published five refresh hints before it signs.
      await until(async () => (await activeRoot(side)) !== before);
    }
    for (const [side, other] of [
      [here, there],
      [there, here],
    ] as const) {
      await until(async () => {
        const [mine, theirs] = await Promise.all([
          side.server.request('GET', `/v1/bundles/${other.domain}`),
          other.server.request('GET', '/v1/bundle'),
        ]);
        return JSON.stringify(mine.body.keys) === JSON.stringify(theirs.body.keys);
      });
    }

    // The endpoint of the partner is away; then somebody else answers there.
    await there.server.stop();
    const stateOf = async () => (await here.server.request('GET', `/v1/federation/${THERE}`)).body;
    await until(async () => (await stateOf()).state === 'failing');
    const thief = await makeAuthority('thief');
    const stolen = await thief.leaf({ uris: [`spiffe://${THERE}/sidekey/server`] });
    const endpoint = await bundleEndpoint(t, stolen, '127.0.0.1', b);
    endpoint.answer({ keys: [thief.key], spiffe_sequence: 1_000_000 });
    await until(async () => (await stateOf()).state === 'stale-bootstrap');
    assert.deepEqual(endpoint.requests, []);
    const { bundle, error } = await stateOf();
    assert.equal(error.reason, 'certificate');
    assert.equal(bundle.x509_authorities, 2, 'the last good bundle stays');
    assert.match(
      (await here.server.request('GET', '/readyz')).body.warnings.join('\n'),
      /partner\.example: stale-bootstrap/,
    );
    const asText = await run(here, 'federation', 'list');
    assert.match(asText, /partner\.example +stale-bootstrap/);
    isOver = true;
    await load;
    assert.deepEqual(failed, [], `${failed.length} of ${asked} requests failed`);
    t.diagnostic(`${asked} requests across the domains, none failed`);

    await run(here, 'federation', 'delete', THERE);
    await until(async () => (await ask()) !== 200);
    for (let i = 0; i < 5; i += 1) assert.notEqual(await ask(), 200, 'a deleted partner is still trusted');
    assert.equal((await here.server.request('GET', `/v1/bundles/${THERE}`)).status, 404);
  });
});
