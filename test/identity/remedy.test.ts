import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../../src/identity/explanation.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { splitSelector } from '../../src/spiffe/selector.ts';
import { makeJoin } from './support.ts';

const CALLER = ['unix:uid:0', 'unix:path:/bin/web'].map((text) => splitSelector(text)!);
const WEB = parseSpiffeId('spiffe://ilinux.io/web');

test('no remedy has an entry ask for less: who lacks something of a kind gets an entry of its own', async (t) => {
  const { registry, identities, clock, create } = await makeJoin(t);
  const entry = await create('/web', ['unix:uid:0', `unix:sha256:${'a'.repeat(64)}`]);
  const query = { spiffeId: WEB, limit: 10, failed: false };
  const lacking = explain(CALLER, query, { registry, identities }, clock.now());
  assert.deepEqual(
    lacking.near.map((miss) => [miss.entry.id, miss.lacks.map(({ has }) => has), miss.fix]),
    [[entry.id, [[]], undefined]],
  );
  const make = `sidekey entry create --spiffe-id ${WEB} --selector unix:uid:0 --selector unix:path:/bin/web`;
  assert.deepEqual(lacking.fixes, [make]);

  const stranger = explain([splitSelector('unix:user:x')!], query, { registry, identities }, clock.now());
  assert.deepEqual(
    stranger.near.map(({ fix }) => fix),
    [undefined],
  );
});

test('a fact of the same kind takes the place of the one that is lacked', async (t) => {
  const { registry, identities, clock, create } = await makeJoin(t);
  const { id } = await create('/web', ['unix:uid:0', 'unix:path:/bin/old']);
  const query = { spiffeId: WEB, limit: 10, failed: false };
  const { fixes } = explain(CALLER, query, { registry, identities }, clock.now());
  assert.equal(fixes[0], `sidekey entry update ${id} --selector unix:path:/bin/web --selector unix:uid:0`);
});
