import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../../src/identity/explanation.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { splitSelector } from '../../src/spiffe/selector.ts';
import { makeJoin, ScriptedPeer } from './support.ts';

const facts = (...texts: readonly string[]) => texts.map((text) => splitSelector(text)!);
const CALLER = facts('unix:uid:0', 'unix:path:/bin/web');
const WEB = parseSpiffeId('spiffe://ilinux.io/web');
const QUERY = { spiffeId: WEB, limit: 10, failed: false, replaced: undefined };
const UPDATE = 'sidekey entry update';
const CREATE = `sidekey entry create --spiffe-id ${WEB}`;

test('no remedy has an entry ask for less: who lacks something of a kind gets an entry of its own', async (t) => {
  const { registry, identities, clock, create } = await makeJoin(t);
  const entry = await create('/web', ['unix:uid:0', `unix:sha256:${'a'.repeat(64)}`]);
  const lacking = explain(CALLER, QUERY, { registry, identities }, clock.now());
  assert.deepEqual(
    lacking.near.map((miss) => [miss.entry.id, miss.lacks.map(({ has }) => has), miss.fixes[0]]),
    [[entry.id, [[]], undefined]],
  );
  const make = `${CREATE} --selector unix:uid:0 --selector unix:path:/bin/web`;
  assert.deepEqual(lacking.fixes, [make]);

  const stranger = explain(facts('unix:user:x'), QUERY, { registry, identities }, clock.now());
  assert.deepEqual(
    stranger.near.map(({ fixes }) => fixes[0]),
    [undefined],
  );
});

test('what an entry asks for already takes the place of nothing else: one fact less would do then', async (t) => {
  const { registry, identities, clock, create } = await makeJoin(t);
  const { id } = await create('/web', ['unix:supplementary_gid:5', 'unix:supplementary_gid:6']);
  const fixes = (...caller: string[]) =>
    explain(facts(...caller), QUERY, { registry, identities }, clock.now()).near.map(({ fixes }) => fixes[0]);
  assert.deepEqual(fixes('unix:uid:7', 'unix:supplementary_gid:5'), [undefined]);
  assert.deepEqual(fixes('unix:uid:7', 'unix:supplementary_gid:8'), [undefined]);
  const two = ['--selector', 'unix:supplementary_gid:5', '--selector', 'unix:supplementary_gid:8'].join(' ');
  assert.deepEqual(fixes('unix:supplementary_gid:5', 'unix:supplementary_gid:8'), [`${UPDATE} ${id} ${two}`]);
});

test('a fact of the same kind takes the place of the one that is lacked', async (t) => {
  const { registry, identities, clock, create } = await makeJoin(t);
  const { id } = await create('/web', ['unix:uid:0', 'unix:path:/bin/old']);
  const { fixes } = explain(CALLER, QUERY, { registry, identities }, clock.now());
  assert.equal(fixes[0], `sidekey entry update ${id} --selector unix:path:/bin/web --selector unix:uid:0`);
});

test('an entry that somebody has is left alone first: another one is made, which gives the same but for whom', async (t) => {
  const { registry, identities, clock, create } = await makeJoin(t);
  const more = { x509_svid_ttl: 60, dns_names: ['web.local'], federates_with: ['b.example'], hint: 'a b' };
  const { id } = await create('/web', ['unix:uid:1', 'unix:path:/bin/web'], { ...more, expires_at: 4e9 });
  const update = `${UPDATE} ${id} --selector unix:path:/bin/web --selector unix:uid:0`;
  const given = `--x509-svid-ttl 60s --dns web.local --federates-with b.example --hint 'a b'`;
  const copy = `${CREATE} --selector unix:uid:0 --selector unix:path:/bin/web ${given} --expires-at 2096-10-02T07:06:40.000Z`;
  const look = () => explain(CALLER, QUERY, { registry, identities }, clock.now());
  const alone = look();
  assert.deepEqual([alone.fixes, alone.near[0]!.note], [[update, copy], undefined]);

  const peer = new ScriptedPeer('unix:uid:1', 'unix:path:/bin/web');
  await identities.caller(peer).reattest();
  const shared = look();
  assert.deepEqual(shared.fixes, [copy, update]);
  assert.match(shared.near[0]!.note!, /^a caller that is connected has it by this entry, and would lose it/);

  clock.set(4e12);
  const over = look();
  assert.equal(over.fixes[0], `${update} --expires-at never`, 'nobody has it any more');
  assert.doesNotMatch(over.fixes[1]!, /--expires-at/);
});

test('no remedy gives an identity to every process of root', async (t) => {
  const { registry, identities, clock, create } = await makeJoin(t);
  const { id } = await create('/web', ['unix:user:daemon']);
  const look = (...caller: string[]) => explain(facts(...caller), QUERY, { registry, identities }, clock.now());
  const blind = look('unix:uid:0', 'unix:gid:0', 'unix:user:root', 'unix:group:root', 'unix:supplementary_gid:0');
  assert.deepEqual([blind.fixes, blind.near[0]!.fixes[0]], [[], undefined]);
  assert.match(blind.note!, /nothing that is known of it tells it from other processes of root/);
  const seen = look('unix:uid:0', 'unix:user:root', 'unix:path:/bin/web');
  assert.deepEqual(seen.fixes, [
    `${UPDATE} ${id} --selector unix:user:root --selector unix:path:/bin/web`,
    `${CREATE} --selector unix:uid:0 --selector unix:path:/bin/web`,
  ]);
  assert.equal(seen.note, undefined);
  const hidden = look('docker:env:TOKEN=[redacted]');
  assert.deepEqual([hidden.fixes, hidden.near[0]!.fixes[0]], [[], undefined]);
  assert.match(hidden.note!, /not shown: an entry for it takes its value from you/);
  // A user of its own is somebody.
  assert.deepEqual(look('unix:uid:7', 'unix:user:web').fixes, [
    `${UPDATE} ${id} --selector unix:user:web`,
    `${CREATE} --selector unix:uid:7`,
  ]);
});
