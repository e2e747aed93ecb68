/** A user of the host takes the pid of a container's main process, behind a real engine whose answers are of before. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { whyNoEngine } from '../compose/engine.ts';
import { whyNoCgroup } from '../support/cgroup.ts';
import { whyNotNobody } from '../support/child.ts';

const PROGRAM = path.join(import.meta.dirname, '../support/main-pid-reuse-program.ts');
const INSIDE = ['-p', '-f', '--mount-proc', '--kill-child'];

const skip = whyNoEngine() ?? whyNoCgroup() ?? whyNotNobody() ?? whyNoPids() ?? false;

function whyNoPids(): string | undefined {
  const probe = 'echo 4000 > /proc/sys/kernel/ns_last_pid';
  return spawnSync('unshare', [...INSIDE, 'sh', '-c', probe]).status === 0
    ? undefined
    : 'no pid namespace whose next pid could be set can be made here: that takes root and unshare(1)';
}

for (const [mode, how, reason] of [
  [
    'delayed',
    'an answer that arrives late',
    /did not start with the container|ended during its inspection|is not running/,
  ],
  ['stale', 'an engine that has not noticed', /did not start with the container/],
] as const) {
  test(`a user who has the pid of a container's former main process does not have its identity: ${how}`, {
    skip,
    timeout: 180_000,
  }, () => {
    const { stdout, stderr } = spawnSync('unshare', [...INSIDE, process.execPath, PROGRAM, mode], { encoding: 'utf8' });
    const found = JSON.parse(stdout || '{}') as { code?: number; has?: boolean; stderr?: string };
    assert.deepEqual([found.code, found.has], [1, false], `${found.stderr} ${stderr}`);
    assert.match(found.stderr!, reason);
  });
}
