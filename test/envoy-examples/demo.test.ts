/** The demo as a user runs it: the project's end-to-end test. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { envoyForTests } from '../support/envoy.ts';
import { tempDir } from '../support/temp-dir.ts';

const root = path.join(import.meta.dirname, '../..');
const found = await envoyForTests();

interface Demo {
  readonly process: ChildProcess;
  /** Where it makes its folder. */
  readonly folder: string;
  /** Resolves when it has printed this. */
  printed(text: string): Promise<void>;
  /** Its exit status and all that it printed. */
  readonly ended: Promise<{ status: number | null; output: string }>;
}

function runDemo(t: TestContext, ...args: string[]): Demo {
  assert.ok(found.skip === false);
  const folder = tempDir(t);
  const child = spawn(path.join(root, 'scripts/node'), [path.join(root, 'envoy-examples/demo/main.ts'), ...args], {
    env: { ...process.env, TMPDIR: folder, ENVOY: found.envoy.path },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill());
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const ended = once(child, 'close').then(([status]) => ({ status: status as number | null, output }));
  return {
    process: child,
    folder,
    ended,
    async printed(text) {
      while (!output.includes(text)) {
        const closed = await Promise.race([once(child.stdout, 'data').then(() => false), ended.then(() => true)]);
        assert.ok(!closed || output.includes(text), `the demo ended without printing ${text}:\n${output}`);
      }
    },
  };
}

/** The processes that were started from or with a file of this folder. */
function processesOf(folder: string): { pid: number; command: string }[] {
  return globSync('/proc/[0-9]*/cmdline').flatMap((file) => {
    try {
      const command = readFileSync(file, 'utf8').replaceAll('\0', ' ');
      return command.includes(folder) ? [{ pid: Number(file.split('/')[2]), command }] : [];
    } catch {
      return []; // it has ended
    }
  });
}

function assertNothingLeft({ folder }: Demo): void {
  assert.deepEqual(processesOf(folder), []);
  assert.deepEqual(readdirSync(folder), []);
}

test('npm run demo -- --check shows all of it and leaves nothing behind', { skip: found.skip }, async (t) => {
  const demo = runDemo(t, '--check');
  const { status, output } = await demo.ended;
  assert.equal(status, 0, output);
  assert.doesNotMatch(output, /✗/);
  assert.equal(output.match(/✓/g)?.length, 19, output);
  const [, before, after] = output.split(/sidekey ca show, before:|and after:/);
  const roots = (shown?: string) =>
    shown
      ?.match(/^ +root +\w+/gm)
      ?.map((row) => row.trim().split(/ +/)[1])
      .sort();
  assert.deepEqual([roots(before), roots(after)], [['active'], ['active', 'retired']]);
  assertNothingLeft(demo);
});

test('SIGTERM in the middle ends the demo, and all that it started', { skip: found.skip }, async (t) => {
  const demo = runDemo(t);
  await demo.printed('three Envoys wait');
  assert.equal(processesOf(demo.folder).length, 4);
  demo.process.kill('SIGTERM');
  const { status } = await demo.ended;
  assert.equal(status, 143);
  assertNothingLeft(demo);
});

test('an Envoy that ends by itself fails the demo, which says so', { skip: found.skip }, async (t) => {
  const demo = runDemo(t, '--check');
  await demo.printed('three Envoys wait');
  process.kill(processesOf(demo.folder).find(({ command }) => command.includes('bin/service-gray'))!.pid, 'SIGKILL');
  const { status, output } = await demo.ended;
  assert.equal(status, 1);
  assert.match(output, /service-gray ended unexpectedly/);
  assert.match(output, /service-gray \(ended with SIGKILL\)/);
  assertNothingLeft(demo);
});
