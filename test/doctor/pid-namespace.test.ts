/** A server in a pid namespace of its own, which its callers are not in: nobody is attested, and doctor says why. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { it } from 'node:test';
import { sidekey } from '../cli/support.ts';
import { endAfter } from '../support/caller.ts';
import { makePlace, ROOT, TRUST_DOMAIN } from '../support/serve.ts';

const INSIDE = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const can = spawnSync('unshare', [...INSIDE, 'true']).status === 0;

it('callers from outside of the pid namespace are refused, and doctor tells which namespace to share', {
  skip: can ? false : 'no pid namespace can be made here (root, and unshare)',
  timeout: 60_000,
}, async (t) => {
  const place = makePlace(t);
  const { dataDir, socket, adminSocket } = place;
  const serve = [
    'serve',
    '--trust-domain',
    TRUST_DOMAIN,
    '--data-dir',
    dataDir,
    '--socket',
    socket,
    '--allow-unpinned-peers',
  ];
  const child = spawn('unshare', [...INSIDE, path.join(ROOT, 'bin/sidekey'), ...serve, '--admin-socket', adminSocket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endAfter(t, child);
  await new Promise<void>((resolve) => {
    let said = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.includes('"serving"')) resolve();
    });
  });
  const fetched = await sidekey(['fetch', '--socket', socket]);
  assert.match(
    fetched.stderr,
    /is in a pid namespace that Sidekey does not see: in a container, Sidekey needs pid: host \(decision d-/,
  );
  // From here it is not seen who asks: that could be a container, too.
  const asked = await sidekey(['doctor', '--admin-socket', adminSocket]);
  assert.match(asked.stderr, /pid namespace that Sidekey does not see.*in the server's own container.*ERR_FORBIDDEN/);
  const [pid, mnt] = ['pid_for_children', 'mnt'].map((name) => `/proc/${child.pid}/ns/${name}`);
  const doctor = [path.join(ROOT, 'bin/sidekey'), 'doctor', '--admin-socket', adminSocket, '--output', 'json'];
  const inside = spawnSync('nsenter', [`--pid=${pid}`, `--mount=${mnt}`, ...doctor], { encoding: 'utf8' });
  assert.equal(inside.status, 1, inside.stderr);
  const [first] = JSON.parse(inside.stdout).findings;
  assert.equal(first.rule, 'pid-namespace');
  assert.match(first.fix, /pid: host/);
});
