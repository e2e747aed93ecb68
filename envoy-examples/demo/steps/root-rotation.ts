/** A new root replaces the one that signs, during traffic; `sidekey ca show` shows the authorities before and after. */

import { EXAMPLES } from '../bootstraps.ts';
import { expect, wait } from '../expect.ts';
import { step } from '../report.ts';
import type { Stage } from '../stage.ts';
import type { Traffic } from '../traffic.ts';
import { idOf } from './start.ts';
import { more, underTraffic } from './under-traffic.ts';

export async function showRootRotation(stage: Stage): Promise<void> {
  const show = async () => (await stage.sidekey.command('ca', 'show')).trimEnd().split('\n');
  await step('the root rotates under traffic', async () => {
    const before = await show();
    const shown = await underTraffic(stage, (traffic) => rotateRoot(stage, traffic));
    const after = await show();
    return { ...shown, lines: ['sidekey ca show, before:', ...before, 'and after:', ...after] };
  });
}

async function rotateRoot(stage: Stage, traffic: Traffic): Promise<string> {
  const { sidekey, envoys } = stage;
  const serials = await Promise.all(EXAMPLES.map(async (name) => (await envoys[name].hasSvid(idOf(name))).serial));
  const root = await activeRoot(stage);
  const begin = performance.now();
  await sidekey.command('ca', 'rotate', '--root');
  await wait('another root to sign', { look: () => activeRoot(stage), until: (now) => now !== root });
  await Promise.all(EXAMPLES.map((name, i) => envoys[name].hasSvid(idOf(name), serials[i])));
  const took = performance.now() - begin;
  await more(traffic);
  return `all Envoys had the new root, then new SVIDs under it, after ${took.toFixed(0)} ms`;
}

/** Its ID. */
async function activeRoot({ sidekey }: Stage): Promise<string> {
  const { status, body } = await sidekey.ask('GET', '/v1/ca');
  expect(status === 200, 'GET /v1/ca to give 200', `${status} ${body}`);
  const { authorities } = JSON.parse(body) as { authorities: { id: string; role: string; state: string }[] };
  return authorities.find(({ role, state }) => role === 'root' && state === 'active')!.id;
}
