/** The matrix for the newest and the oldest Envoy; `npm run test:matrix` has those between. */

import { describe, it } from 'node:test';
import { pinnedVersions } from '../../scripts/find-envoy.ts';
import { envoyForTests } from '../support/envoy.ts';
import { Stage } from './stage.ts';
import { STEPS } from './steps.ts';
import { VARIANTS } from './variants.ts';

const versions = await pinnedVersions();

describe('a real Envoy', { concurrency: 2 }, async () => {
  for (const version of [versions[0]!, versions.at(-1)!]) {
    const found = await envoyForTests(version);
    for (const variant of VARIANTS) {
      it(`${version}, by ${variant.name},`, { skip: found.skip, timeout: 120_000 }, async (t) => {
        if (found.skip !== false) return;
        const stage = await Stage.set(t, found.envoy.path, variant);
        for (const { does, run } of STEPS) {
          let done = false;
          await t.test(does, async (step) => {
            await run(stage).catch((error: unknown) => {
              step.diagnostic(stage.said);
              throw error;
            });
            done = true;
          });
          // Each step stands on the one before.
          if (!done) return;
        }
      });
    }
  }
});
