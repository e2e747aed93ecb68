import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { JoinToken } from '../../src/registry/agent.ts';
import type { Attested } from '../../src/registry/agents.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { agent } from './store/values.ts';
import { open as openRegistry } from './support.ts';

const id = parseSpiffeId('spiffe://ilinux.io/spire/agent/join_token/a');
const by = { kind: 'agent', id, address: '192.0.2.1' } as const;

function attested(serial: string, more: Partial<Attested> = {}): Attested {
  return {
    id,
    attestationType: 'join_token',
    selectors: [],
    alias: '',
    canReattest: false,
    serial,
    notAfter: 9,
    ...more,
  };
}

async function open(t: TestContext) {
  const opened = await openRegistry(t);
  return { ...opened, agents: opened.registry.agents };
}

test('only the newest SVID of an agent counts, and a renewed one from its first use', async (t) => {
  const { agents } = await open(t);
  assert.equal(agents.whyNot(id, '01'), 'not-attested');
  await agents.attested(attested('01'), by);
  assert.equal(agents.whyNot(id, '01'), undefined);
  assert.equal(agents.whyNot(id, ''), 'not-active');
  assert.equal(agents.whyNot(id, '02'), 'not-active');
  assert.equal(await agents.renewed(id, '01', { serial: '02', notAfter: 10 }), undefined);
  for (const serial of ['01', '02']) assert.equal(agents.whyNot(id, serial), undefined);
  assert.equal(await agents.confirmed(id, '02'), undefined);
  assert.equal(agents.whyNot(id, '01'), 'not-active');
  assert.partialDeepStrictEqual(agents.get(id), { serial: '02', notAfter: 10, newSerial: '', newNotAfter: 0 });
  assert.equal(await agents.renewed(id, '01', { serial: '03', notAfter: 11 }), 'not-active');
  assert.equal(await agents.confirmed(id, '01'), 'not-active');
  await agents.attested(attested('04'), by);
  assert.equal(agents.whyNot(id, '02'), 'not-active');
});

test('a banned agent gets nothing more and cannot attest itself; an evicted one can', async (t) => {
  const { agents } = await open(t);
  await agents.attested(attested('01'), by);
  await agents.ban(id);
  assert.equal(agents.whyNot(id, '01'), 'banned');
  assert.equal(await agents.renewed(id, '01', { serial: '02', notAfter: 10 }), 'banned');
  assert.equal(await agents.attested(attested('03'), by), undefined);
  assert.equal(agents.get(id)!.serial, '01');
  await agents.evict(id);
  assert.equal(agents.whyNot(id, '01'), 'not-attested');
  assert.equal(await agents.reported(id, '01', '1.0'), 'not-attested');
  assert.notEqual(await agents.attested(attested('03'), by), undefined);
  for (const absent of [agents.ban('spiffe://ilinux.io/no'), agents.evict('spiffe://ilinux.io/no')]) {
    await assert.rejects(absent, { code: 'ERR_NOT_FOUND' });
  }
});

test('a join token lets one agent join, once, before its end', async (t) => {
  const { agents, clock } = await open(t);
  const join = (serial: string) => (token: JoinToken) => agents.attested(attested(serial), by, token);
  const { text } = await agents.createToken({ expiresAt: clock.now() + 1000, alias: '' });
  assert.equal(agents.joinTokens, 1);
  assert.equal(await agents.withToken('another', join('01')), undefined);
  const gate = Promise.withResolvers<string>();
  const first = agents.withToken(text, () => gate.promise);
  assert.equal(await agents.withToken(text, join('01')), undefined, 'in use');
  gate.reject(new Error('the authority failed'));
  await assert.rejects(first, /the authority failed/);
  assert.equal((await agents.withToken(text, join('02')))!.serial, '02');
  assert.equal(agents.joinTokens, 0);
  assert.equal(await agents.withToken(text, join('03')), undefined, 'used');
  const late = await agents.createToken({ expiresAt: clock.now() + 1000, alias: '' });
  clock.advance(1000);
  assert.equal(await agents.withToken(late.text, join('04')), undefined, 'expired');
  assert.equal(agents.joinTokens, 0);
});

test('an agent is stored and its token deleted in one transaction: both, or neither', async (t) => {
  const { agents, store, clock } = await open(t);
  const { token } = await agents.createToken({ expiresAt: clock.now() + 1000, alias: '' });
  const [stored] = await store.joinTokens.load();
  const { id: name } = agent('host');
  const cursor = await store.changes.cursor();
  const stale = { hash: token.hash, revision: stored!.revision + 1, events: [] };
  await assert.rejects(store.agents.join(agent('host'), undefined, stale, []), { code: 'ERR_REVISION' });
  assert.deepEqual(await store.agents.load(), []);
  assert.deepEqual(await store.joinTokens.load(), [stored]);
  assert.deepEqual((await store.changes.changesSince(cursor, 10)) as object, { changes: [], cursor, more: false });
  await store.agents.join(agent('host'), undefined, { ...stale, revision: stored!.revision }, []);
  assert.deepEqual(
    (await store.agents.load()).map(({ value }) => value.id),
    [name],
  );
  assert.deepEqual(await store.joinTokens.load(), []);
});

test('a token that cannot be deleted makes no agent, and may be used again', async (t) => {
  const { agents, store, clock } = await open(t);
  const { text, token } = await agents.createToken({ expiresAt: clock.now() + 1000, alias: '' });
  const join = t.mock.method(store.agents, 'join', () => Promise.reject(new Error('the disk is full')));
  const attempt = () => agents.withToken(text, (one) => agents.attested(attested('01'), by, one));
  await assert.rejects(attempt, /the disk is full/);
  assert.deepEqual([agents.get(id), agents.joinTokens], [undefined, 1]);
  join.mock.restore();
  assert.equal((await attempt())!.serial, '01');
  assert.equal(agents.joinTokens, 0);
  await assert.rejects(agents.attested(attested('02'), by, token), { code: 'ERR_NOT_FOUND' }, 'used');
  assert.equal(agents.get(id)!.serial, '01');
});

test('agents and tokens survive a restart; the audit has no token and a row for each change that somebody decided', async (t) => {
  const { agents, store, clock, file } = await open(t);
  const { text } = await agents.createToken({ expiresAt: clock.now() + 1000, alias: '' });
  await agents.withToken(text, (token) => agents.attested(attested('01'), by, token));
  const kept = await agents.createToken({ expiresAt: clock.now() + 1000, alias: '' });
  await agents.renewed(id, '01', { serial: '02', notAfter: 10 });
  await agents.confirmed(id, '02');
  await agents.reported(id, '02', '1.13.3');
  await agents.ban(id);
  await agents.evict(id);
  await agents.attested(attested('05'), by);
  const rows = await store.audit.rows({ limit: 100, after: 0 });
  const records = rows.map(({ record }) => record);
  assert.ok(records.every((record) => !record.includes(text) && !record.includes(kept.text)));
  const actions = records
    .map((record) => JSON.parse(record).action as string)
    .filter((one) => one.startsWith('agent.'));
  assert.deepEqual(actions, [
    ...['agent.token_created', 'agent.attested', 'agent.token_deleted', 'agent.token_created'],
    ...['agent.banned', 'agent.evicted', 'agent.attested'],
  ]);
  const { registry: again } = await openRegistry(t, { file, clock });
  assert.deepEqual(again.agents.list(), agents.list());
  assert.equal(await again.agents.withToken(kept.text, async () => 'joined'), 'joined');
});
