/** The facts that explain shows of a process are those of one process, which runs one program. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { nobodyContained } from '../../src/attest/contained.ts';
import { createInspector } from '../../src/attest/inspect.ts';
import type { Attestor, CallingProcess } from '../../src/attest/types.ts';
import { SystemClock } from '../../src/base/clock.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { NO_CALLER } from '../../src/limits/fair-slots.ts';
import { Owners } from '../../src/limits/owner.ts';
import { endAfter } from '../support/caller.ts';
import { until } from '../support/process-state.ts';

/** A shell that executes another program, or ends, once it is told to. */
async function shell(t: TestContext) {
  const child = spawn('/bin/sh', ['-c', 'echo ready; read word; [ "$word" = exec ] && exec sleep 1000'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  endAfter(t, child);
  await once(child.stdout, 'data');
  return child;
}

/** An inspector whose only attestor does this meanwhile. */
function inspector(meanwhile: (caller: CallingProcess) => Promise<void>) {
  const attestor: Attestor = {
    name: 'test',
    attest: async (caller) => {
      await meanwhile(caller);
      return [];
    },
  };
  return createInspector({
    attestors: [attestor],
    whyContained: nobodyContained,
    clock: new SystemClock(),
    attestTimeoutMs: 30_000,
    reach: () => ({ verdict: 'yes', detail: '', fix: undefined, seenAs: undefined }),
    ownerOf: ({ uid }) => new Owners().user(uid),
  });
}

const hasCode = (code: ErrorCode) => (thrown: { code?: string }) => thrown.code === code;

describe('the inspection of a process', { timeout: 60_000 }, () => {
  it('is of one program', async (t) => {
    const child = await shell(t);
    const before = readlinkSync(`/proc/${child.pid}/exe`);
    const inspect = inspector(async () => {
      child.stdin.write('exec\n');
      await until(() => readlinkSync(`/proc/${child.pid}/exe`) !== before);
    });
    await assert.rejects(inspect(child.pid!), hasCode('ERR_PEER_CHANGED'));
  });

  it('is of one process: it fails if the process ends meanwhile', async (t) => {
    const child = await shell(t);
    const inspect = inspector(async () => {
      child.stdin.write('end\n');
      await once(child, 'exit');
    });
    await assert.rejects(inspect(child.pid!), hasCode('ERR_NOT_FOUND'));
  });

  it('is charged to the owner of the process, and contains whether it reaches the pipe', async (t) => {
    const child = await shell(t);
    let owner = NO_CALLER;
    const inspect = inspector(async (caller) => {
      owner = caller.owner ?? NO_CALLER;
    });
    const { reach, credentials } = await inspect(child.pid!);
    assert.equal(credentials.pid, child.pid);
    assert.equal(reach.verdict, 'yes');
    assert.equal(owner.name, `uid ${process.getuid!()}`);
  });
});
