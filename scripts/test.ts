/**
 * `npm test [-- FILE_OR_FOLDER…]`: runs the tests, all by default, and lists at the end each skipped test with its
 * reason. If at most {@link REPEATED_FILES} files fail, they run once more, one at a time: on a busy machine a test may miss
 * a time limit. The second result counts, and the list at the end names those files.
 */

import { once } from 'node:events';
import { globSync, readFileSync, statSync } from 'node:fs';
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
// Each file is a process that loads the sources. Without types and compiled, they load in half the time.
process.env.NODE_COMPILE_CACHE ??= path.join(root, '.cache/compiled');

/** The compose test builds an image, which takes minutes where others work too. */
const TEST_LIMIT_MS = 300_000;
/** Of a whole file: the runner itself fails a test in time, but waits for its process for ever. */
const FILE_LIMIT_MS = 2 * TEST_LIMIT_MS;
/** More files than this fail for another reason than a busy machine. */
const REPEATED_FILES = 3;
const STDERR_KEPT = 4096;

/** The tests that were skipped, and why. */
const skipped: string[] = [];
/** How the processes of failed files ended, and the end of what each wrote to stderr. */
let ended: string[] = [];
let lastEventAt = performance.now();

/** Runs these files. @return those with a test that failed */
async function runFiles(paths: readonly string[], concurrency: number): Promise<string[]> {
  const failed = new Set<string>();
  const stderrOf = new Map<string, string>();
  const stream = run({ files: [...paths], concurrency, timeout: TEST_LIMIT_MS, cwd: root })
    .on('test:stderr', ({ file, message }) => {
      stderrOf.set(file, ((stderrOf.get(file) ?? '') + message).slice(-STDERR_KEPT));
    })
    .on('test:fail', ({ name, file, details }) => {
      failed.add(file ?? name);
      const { exitCode, signal } = details.error as { exitCode?: number; signal?: string | null };
      if (exitCode === undefined && !signal) return;
      ended.push(`  ${path.relative(root, name)}: ${signal ?? `exit code ${exitCode}`}\n${stderrOf.get(name) ?? ''}`);
    })
    .on('test:pass', ({ name, skip }) => {
      if (skip !== undefined) skipped.push(`  ${name}: ${skip === true ? 'no reason given' : skip}`);
    })
    .on('data', () => {
      lastEventAt = performance.now();
    });
  stream.compose(new spec()).pipe(process.stdout, { end: false });
  await once(stream, 'end');
  return [...failed];
}

function listed(paths: readonly string[]): string {
  return paths.map((file) => `  ${path.relative(root, file)}\n`).join('');
}

/** The processes that a process started and that still belong to it. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').map(Number).filter(Boolean);
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  const children = childrenOf(pid);
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
  children.forEach(kill);
}

const startedAt = new Map<number, number>();
setInterval(() => {
  const now = performance.now();
  const running = childrenOf(process.pid);
  // A later file may get the pid of one that has ended.
  for (const pid of startedAt.keys()) if (!running.includes(pid)) startedAt.delete(pid);
  for (const pid of running) {
    const since = startedAt.get(pid) ?? now;
    startedAt.set(pid, since);
    if (now - since < FILE_LIMIT_MS) continue;
    const [file] = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      .split('\0')
      .filter((word) => word.endsWith('.test.ts'));
    process.stderr.write(`killed, as it had not ended within ${FILE_LIMIT_MS / 1_000} s: ${file}\n`);
    startedAt.delete(pid);
    kill(pid);
  }
  if (now - lastEventAt > FILE_LIMIT_MS + 60_000) {
    process.stderr.write('A process that a test left running keeps its output open: the run is ended.\n');
    process.exit(1);
  }
}, 1_000).unref();

let failed = await runFiles(files, availableParallelism());
let repeated: string[] = [];
if (files.length > 1 && failed.length > 0 && failed.length <= REPEATED_FILES) {
  repeated = failed;
  process.stdout.write(`These files run once more, one at a time:\n${listed(repeated)}`);
  ended = [];
  failed = await runFiles(repeated, 1);
}
if (failed.length > 0) process.exitCode = 1;
if (ended.length > 0) process.stdout.write(`Failed files, how they ended and their stderr:\n${ended.join('\n')}\n`);
const passed = repeated.filter((file) => !failed.includes(file));
if (passed.length > 0) process.stdout.write(`Failed beside others, passed alone:\n${listed(passed)}`);
const reasons = [...new Set(skipped)];
process.stdout.write(reasons.length === 0 ? 'Nothing was skipped.\n' : `Skipped:\n${reasons.join('\n')}\n`);
