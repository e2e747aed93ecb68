import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { startAdmin } from '../admin/support.ts';
import { sidekey } from './support.ts';

const [ONE, TWO, THREE] = ['a', 'b', 'c'].map((name) =>
  parseSpiffeId(`spiffe://ilinux.io/spire/agent/x509pop/${name}`),
);

test('agents are named by an argument, or by a flag in the spelling of spire-server', async (t) => {
  const { socketPath, registry, clock } = await startAdmin(t);
  const run = (...args: string[]) => sidekey(['agent', ...args], { env: { SIDEKEY_ADMIN_SOCKET: socketPath } });
  const what = { attestationType: 'x509pop', canReattest: true, alias: '', selectors: [], serial: 'aa' } as const;
  for (const id of [ONE!, TWO!, THREE!]) {
    await registry.agents.attested({ ...what, id, notAfter: clock.now() + 1 }, { kind: 'server' });
  }
  for (const named of [
    [ONE!],
    ['--spiffe-id', ONE!],
    ['-spiffeID', ONE!],
    [`-spiffeID=${ONE}`],
    ['--spiffeID', ONE!],
  ]) {
    const { status, stdout, stderr } = await run('show', ...named, '-o', 'name');
    assert.deepEqual([status, stdout, stderr], [0, `${ONE}\n`, ''], named.join(' '));
  }
  for (const command of ['show', 'ban', 'evict']) {
    const none = await run(command);
    assert.equal(none.status, 2);
    assert.match(none.stderr, /give the SPIFFE ID of the agent/);
    const both = await run(command, ONE!, '-spiffeID', TWO!);
    assert.equal(both.status, 2);
    assert.match(both.stderr, /--spiffe-id can't be combined with an argument/);
  }
  assert.equal((await run('ban', '-spiffeID', ONE!)).status, 0);
  assert.deepEqual(
    registry.agents.list().map(({ banned }) => banned),
    [true, false, false],
  );
  assert.equal((await run('evict', '-spiffeID', ONE!)).status, 0);
  assert.equal((await run('evict', TWO!, THREE!)).status, 0);
  assert.deepEqual(registry.agents.list(), []);
});
