/**
 * `npm test [-- FILE_OR_FOLDER…]`: runs the tests, all by default, and lists at the end what was skipped and why.
 */

import { globSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = path.dirname(import.meta.dirname);
const places = process.argv.slice(2);

const files = (places.length > 0 ? places : ['test'])
  .map((place) => path.resolve(places.length > 0 ? process.cwd() : root, place))
  .flatMap((place) =>
    statSync(place).isDirectory() ? globSync('**/*.test.ts', { cwd: place }).map((f) => path.join(place, f)) : place,
  )
  .sort();

/** Each server in a test's own process keeps one of libuv's threads, to wait for the ends of processes. */
const THREADS = '32';
process.env.UV_THREADPOOL_SIZE ??= THREADS;

const skipped: string[] = [];
/** The compose test builds an image, which takes minutes where others work too. */
const LIMIT_MS = 900_000;
const stream = run({ files, concurrency: availableParallelism(), timeout: LIMIT_MS, cwd: root })
  .on('test:fail', () => {
    process.exitCode = 1;
  })
  .on('test:pass', ({ name, skip }) => {
    if (skip !== undefined) skipped.push(`  ${name}: ${skip === true ? 'no reason given' : skip}`);
  });
stream.compose(new spec()).pipe(process.stdout);
stream.on('end', () => {
  process.stdout.write(skipped.length === 0 ? 'Nothing was skipped.\n' : `Skipped:\n${skipped.join('\n')}\n`);
});
