/** How soon compose.yaml works, and how large its image is. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { Demo } from '../../test/compose/demo.ts';
import { OwnEngine, whyNoEngine } from '../../test/compose/engine.ts';
import { makeStandIns } from '../../test/compose/standin-images.ts';
import { ROOT } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';

const ROUNDS = 3;

export async function composeUp(cleanup: Cleanup): Promise<Figure[]> {
  const impossible = whyNoEngine();
  if (impossible !== undefined) {
    console.error(`compose-up: ${impossible}`);
    return [];
  }
  const engine = new OwnEngine(cleanup);
  await engine.start();
  await makeStandIns({ ...process.env, ...engine.env });
  const demo = await Demo.on(engine);
  await demo.build();
  const sample: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const begun = performance.now();
    await demo.compose('up', '-d', '--wait');
    await wait('200', { look: () => demo.getUnverified('/service/gray'), until: ({ status }) => status === 200 });
    sample.push((performance.now() - begun) / 1000);
    await demo.compose('down', '-v');
  }
  const base = /^ARG NODE=(.+)$/m.exec(readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8'))![1]!;
  return [
    {
      name: 'compose-up-to-200',
      value: percentile(sample, 0.5),
      unit: 's',
      compared_with: { reach: 6, slowest: percentile(sample, 1) },
      how: `p50 of ${ROUNDS}: from docker compose up -d --wait, with images and no volumes, to the first 200 of curl -k through mTLS`,
    },
    {
      name: 'image-size',
      value: ((await engine.imageSize('sidekey:0.1.0')) - (await engine.imageSize(base))) / 1e6,
      unit: 'MB',
      compared_with: { reach: 60 },
      how: 'what the image adds to its base',
    },
  ];
}
