/**
 * `npm run soak [-- [rotation] ROUNDS [SEED]]`: kills a real server ROUNDS times (200), during writes or, with `rotation`,
 * while its authorities rotate and are tainted. Says what became of it. Exit status 1, and the data directory kept, when
 * something is lost or does not recover.
 */

import { rmSync } from 'node:fs';
import { makePlace, type Place } from '../test/support/serve.ts';
import { soakRotation } from './rotation.ts';
import { soak } from './soak.ts';

const args = process.argv.slice(2);
const run = args[0] === 'rotation' ? rotations : writes;
if (run === rotations) args.shift();
const rounds = Number(args[0] ?? 200);
const seed = Number(args[1] ?? Date.now() % 1_000_000);
if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) {
  console.error('usage: npm run soak [-- [rotation] ROUNDS [SEED]]');
  process.exit(2);
}
const place = makePlace({ after: () => {} });
try {
  console.log(`soak: ${await run(place)}`);
  rmSync(place.directory, { recursive: true, force: true });
} catch (error) {
  console.error(`soak: ${(error as Error).message}\nsoak: the data directory is ${place.dataDir}`);
  process.exitCode = 1;
}

async function writes(place: Place): Promise<string> {
  const { killed, compared, acknowledged, unanswered, received } = await soak(place, rounds, seed);
  return (
    `killed ${rounds} times (${killed.starting} while starting, ${killed.serving} while serving; seed ${seed}), ` +
    `compared ${compared} times: 0 of ${acknowledged} acknowledged writes lost; of ` +
    `${unanswered.done + unanswered.notDone} under way ${unanswered.done} are there, none by half; ` +
    `${received} SVIDs received, all on record; one root`
  );
}

async function rotations(place: Place): Promise<string> {
  const { killed, compared, seen, rewritten, issued } = await soakRotation(place, rounds, seed);
  return (
    `killed ${rounds} times (${killed.starting} while starting, ${killed.serving} while serving; seed ${seed}) during ` +
    `rotations and taints, compared ${compared} times: each start recovered by itself; of ${seen.authorities} authorities ` +
    `${seen.gone} went and none came back, ${seen.tainted} were tainted and signed none of the ${issued} SVIDs on record ` +
    `afterwards; keys were encrypted or decrypted ${rewritten} times`
  );
}
