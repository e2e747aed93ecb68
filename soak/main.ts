/**
 * `npm run soak [-- ROUNDS [SEED]]`: kills a real server ROUNDS times (200) and says what became of what it had
 * acknowledged. Exit status 1, and the data directory kept, when something is lost.
 */

import { rmSync } from 'node:fs';
import { makePlace } from '../test/support/serve.ts';
import { soak } from './soak.ts';

const rounds = Number(process.argv[2] ?? 200);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) {
  console.error('usage: npm run soak [-- ROUNDS [SEED]]');
  process.exit(2);
}
const place = makePlace({ after: () => {} });
try {
  const { killed, compared, acknowledged, unanswered, received } = await soak(place, rounds, seed);
  console.log(
    `soak: killed ${rounds} times (${killed.starting} while starting, ${killed.serving} while serving; seed ${seed}), ` +
      `compared ${compared} times: 0 of ${acknowledged} acknowledged writes lost; of ` +
      `${unanswered.done + unanswered.notDone} under way ${unanswered.done} are there, none by half; ` +
      `${received} SVIDs received, all on record; one root`,
  );
  rmSync(place.directory, { recursive: true, force: true });
} catch (error) {
  console.error(`soak: ${(error as Error).message}\nsoak: the data directory is ${place.dataDir}`);
  process.exitCode = 1;
}
