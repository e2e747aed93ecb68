/** Requests between real Envoys that fail while the authorities rotate and Sidekey restarts in the middle of it. */

import { setTimeout as pause } from 'node:timers/promises';
import { EXAMPLES } from '../../envoy-examples/demo/bootstraps.ts';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { hush } from '../../envoy-examples/demo/report.ts';
import { buildStage, SERVICES, type Stage } from '../../envoy-examples/demo/stage.ts';
import { frontUrl, routeOf } from '../../envoy-examples/demo/steps/requests.ts';
import { idOf, start } from '../../envoy-examples/demo/steps/start.ts';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import type { AuthoritiesJson } from '../../src/admin/ca-schema.ts';
import { type Cleanup, type Figure, round } from '../figure.ts';
import { Program } from '../load/program.ts';
import type { Sent, TrafficOptions } from '../load/traffic-program.ts';

const PER_SECOND = 500;
/** Of front-envoy to the services: a handshake each 20 ms. One for each request would measure the processors. */
const REQUESTS_PER_CONNECTION = 10;
const INTERMEDIATES = 20;
/** How Sidekey is restarted in the middle of a root's rotation: the signal, and when it is sent. */
const ROOTS: readonly (Restart | undefined)[] = [
  undefined,
  { signal: 'SIGKILL', when: 'published' },
  { signal: 'SIGTERM', when: 'published' },
  { signal: 'SIGKILL', when: 'active' },
  undefined,
];
/** Longer than Envoys take to connect again after a restart. */
const PUBLISH_TIME = '3s';

interface Restart {
  readonly signal: 'SIGKILL' | 'SIGTERM';
  /** As soon as the new root has this state. */
  readonly when: 'published' | 'active';
}

/** Requests that go on while something changes. */
export interface UnderTraffic {
  readonly stage: Stage;
  readonly envoyVersion: string;
  /** Ends the requests. */
  stop(): Promise<Sent>;
}

/** Starts a Sidekey and three Envoys, and requests through them. */
export async function startTraffic(cleanup: Cleanup): Promise<UnderTraffic> {
  const envoy = await findEnvoy({ tell: (line) => console.error(line) });
  hush();
  const stage = await buildStage({ rootPublishTime: PUBLISH_TIME });
  cleanup.after(() => stage.clear());
  cleanup.after(() => stage.processes.stopAll());
  // A process that ends shows in the figure, or in what waits for it.
  stage.processes.lost.catch(() => undefined);
  await start(stage, envoy.path, REQUESTS_PER_CONNECTION);
  const client = Program.start(cleanup, 'traffic-program.ts');
  const urls = SERVICES.map((service) => frontUrl(stage, routeOf(service)));
  const options: TrafficOptions = { urls, ca: stage.certificate, perSecond: PER_SECOND };
  await client.tell('start', options);
  return {
    stage,
    envoyVersion: envoy.version,
    async stop() {
      const sent = await client.tell<Sent>('stop');
      for (const failure of sent.failures.slice(0, 20)) console.error(failure);
      return sent;
    },
  };
}

export async function rotationTraffic(cleanup: Cleanup): Promise<Figure[]> {
  const { stage, envoyVersion, stop } = await startTraffic(cleanup);
  const each = INTERMEDIATES / ROOTS.length;
  for (const restart of ROOTS) {
    for (let i = 0; i < each; i += 1) await followed(stage, () => rotate(stage, 'intermediate'));
    await followed(stage, () => rotateRoot(stage, restart));
  }
  const { requests, failures, seconds } = await stop();
  const restarts = ROOTS.filter((restart) => restart !== undefined);
  return [
    {
      name: 'rotation-failed-requests',
      value: failures.length,
      unit: 'requests',
      compared_with: { reach: 0, requests, 'requests a second': round(requests / seconds) },
      how: `GETs over TLS at a steady rate through front-envoy to two services, with a full mTLS handshake between two Envoys (${envoyVersion}) for each ${REQUESTS_PER_CONNECTION} of them and no retries, while ${INTERMEDIATES} intermediates and ${ROOTS.length} roots are replaced one after the other, each time until all three Envoys have new SVIDs; --root-publish-time ${PUBLISH_TIME}; Sidekey is restarted in the middle of ${restarts.length} of the roots' rotations (${restarts.map(({ signal, when }) => `${signal} when the new root is ${when}`).join(', ')})`,
    },
  ];
}

/** Does it, and waits until all Envoys use other SVIDs. */
export async function followed(stage: Stage, change: () => Promise<void>): Promise<void> {
  const serial = async (name: (typeof EXAMPLES)[number]) => (await stage.envoys[name].hasSvid(idOf(name))).serial;
  const before = await Promise.all(EXAMPLES.map(serial));
  await change();
  await Promise.all(EXAMPLES.map((name, i) => stage.envoys[name].hasSvid(idOf(name), before[i])));
}

export async function rotateRoot(stage: Stage, restart: Restart | undefined): Promise<void> {
  const old = await rootIn(stage, 'active');
  await rotate(stage, 'root');
  const next = await rootIn(stage, 'published');
  if (next === undefined) throw new Error('no root was published');
  if (restart !== undefined) {
    if (restart.when === 'active') await becomes(stage, next);
    await end(stage, restart.signal);
    // Longer than an Envoy needs to see that nobody listens.
    await pause(200);
    await stage.sidekey.start();
  }
  await becomes(stage, next);
  if ((await rootIn(stage, 'active')) === old) throw new Error('the root has not changed');
}

async function becomes(stage: Stage, id: string): Promise<void> {
  await wait('the new root to sign', { look: () => rootIn(stage, 'active'), until: (active) => active === id });
}

async function end(stage: Stage, signal: Restart['signal']): Promise<void> {
  if (signal === 'SIGTERM') return stage.sidekey.stop();
  const running = stage.processes.all().findLast(({ name }) => name === 'sidekey')!;
  process.kill(running.pid, signal);
  await wait('Sidekey to end', { look: async () => running.ended, until: (ended) => ended !== undefined });
}

async function rotate(stage: Stage, role: 'root' | 'intermediate'): Promise<void> {
  const { status, body } = await stage.sidekey.ask('POST', '/v1/ca/rotate', { role });
  if (status !== 200) throw new Error(`POST /v1/ca/rotate answered ${status}: ${body}`);
}

async function rootIn(stage: Stage, state: string): Promise<string | undefined> {
  const { body } = await stage.sidekey.ask('GET', '/v1/ca');
  const { authorities } = JSON.parse(body) as AuthoritiesJson;
  return authorities.find((one) => one.role === 'root' && one.state === state)?.id;
}
