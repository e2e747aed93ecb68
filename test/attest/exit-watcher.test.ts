import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { type TestContext, test } from 'node:test';
import { createExitWatcher } from '../../src/attest/exit-watcher.ts';
import { hasEnded, pidfdOpen } from '../../src/attest/libc.ts';
import { endAfter } from '../support/caller.ts';
import { openDescriptors } from '../support/pipe.ts';

function sleeper(t: TestContext): { pidfd: number; end: () => void; ended: Promise<unknown> } {
  const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
  endAfter(t, child);
  return { pidfd: pidfdOpen(child.pid!), end: () => void child.kill('SIGKILL'), ended: once(child, 'exit') };
}

test('each process is told of once, when it ends', async (t) => {
  const watcher = createExitWatcher();
  const sleepers = Array.from({ length: 5 }, () => sleeper(t));
  const told: number[] = [];
  const calls = sleepers.map(
    ({ pidfd }, at) => new Promise<void>((resolve) => watcher.watch(pidfd, () => resolve(void told.push(at)))),
  );
  assert.deepEqual(
    sleepers.map(({ pidfd }) => hasEnded(pidfd)),
    [false, false, false, false, false],
  );

  for (const at of [3, 1]) {
    sleepers[at]!.end();
    await calls[at];
    assert.ok(hasEnded(sleepers[at]!.pidfd));
  }
  assert.deepEqual(told, [3, 1]);
  for (const { end } of sleepers) end();
  await Promise.all(calls);
  assert.deepEqual(told.toSorted(), [0, 1, 2, 3, 4]);
  await watcher.close();
  for (const { pidfd } of sleepers) fs.closeSync(pidfd);
});

test('a watch that was called off tells nothing', async (t) => {
  const watcher = createExitWatcher();
  const [one, two] = [sleeper(t), sleeper(t)];
  const calledOff = watcher.watch(one.pidfd, () => assert.fail('it was called off'));
  const told = new Promise<void>((resolve) => watcher.watch(two.pidfd, resolve));
  calledOff();
  calledOff();
  watcher.watch(one.pidfd, () => assert.fail('it was called off, too'))();
  fs.closeSync(one.pidfd);
  one.end();
  await one.ended;
  two.end();
  await told;
  await watcher.close();
  fs.closeSync(two.pidfd);
});

test('a process that has ended before is told of, too', async (t) => {
  const watcher = createExitWatcher();
  const { pidfd, end, ended } = sleeper(t);
  end();
  await ended;
  await new Promise<void>((resolve) => watcher.watch(pidfd, resolve));
  await watcher.close();
  fs.closeSync(pidfd);
});

test('closing tells nothing more, may be repeated, and leaves no descriptor', async (t) => {
  const before = openDescriptors();
  const watcher = createExitWatcher();
  const { pidfd, end, ended } = sleeper(t);
  const callOff = watcher.watch(pidfd, () => assert.fail('the watcher was closed'));
  await Promise.all([watcher.close(), watcher.close()]);
  callOff();
  end();
  await ended;
  assert.throws(() => watcher.watch(pidfd, () => {}), /closed/);
  fs.closeSync(pidfd);
  assert.equal(openDescriptors(), before);
});

const importing = `import { createExitWatcher } from ${JSON.stringify(new URL('../../src/attest/exit-watcher.ts', import.meta.url).href)};`;

for (const [sentence, code] of [
  ['a process ends by itself once its watcher is closed', 'await createExitWatcher().close();'],
  ['process.exit ends a process whose watcher is open', 'createExitWatcher(); setImmediate(() => process.exit(0));'],
  [
    'an uncaught error ends a process whose watcher is open',
    'createExitWatcher(); setImmediate(() => { throw new Error("on purpose"); });',
  ],
] as const) {
  test(sentence, async (t) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', `${importing}\n${code}`], { stdio: 'ignore' });
    endAfter(t, child);
    const [status] = await once(child, 'exit');
    assert.equal(status, sentence.startsWith('an uncaught') ? 1 : 0);
  });
}
