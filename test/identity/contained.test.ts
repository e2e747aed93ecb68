import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { makeAttestation } from '../../src/attest/attestation.ts';
import { explain } from '../../src/identity/explanation.ts';
import { withheldEntries } from '../../src/identity/withheld.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { splitSelector } from '../../src/spiffe/selector.ts';
import { makeJoin, ScriptedPeer } from './support.ts';

const WHY = 'its cgroup was made by a container runtime';
const WEB = parseSpiffeId('spiffe://ilinux.io/web');
const MINE = 'unix:uid:7';
const NAME = 'docker:name:web-1';
const DIGEST = `docker:image_config_digest:sha256:${'1f'.repeat(32)}`;

function contained(...facts: string[]): ScriptedPeer {
  const peer = new ScriptedPeer(...facts);
  peer.contained = WHY;
  return peer;
}

test('callers with equal selectors, in containers for one reason or another and outside, are told apart', () => {
  const selectors = [splitSelector(MINE)!];
  const keys = [undefined, 'one', 'another', 'unix:uid:7'].map((why) => makeAttestation(selectors, why).key);
  assert.equal(new Set([...keys, makeAttestation([]).key]).size, keys.length + 1);
  assert.equal(makeAttestation(selectors, 'one').key, keys[1]);
});

describe('a caller in a container', () => {
  test('has an entry that selects by the container or says allow_contained, and no other', async (t) => {
    const { identities, create } = await makeJoin(t);
    const [plain, byName, allowed] = [
      await create('/plain', [MINE], { id: '1' }),
      await create('/name', [MINE, NAME], { id: '2' }),
      await create('/allowed', [MINE], { id: '3', allow_contained: true }),
    ];
    const inside = identities.caller(contained(MINE, NAME));
    const outside = identities.caller(new ScriptedPeer(MINE, NAME));
    for (const caller of [inside, outside]) await caller.attestAfter(0);
    assert.deepEqual([inside.entries, inside.withheld], [[byName, allowed], [plain]]);
    assert.deepEqual([outside.entries, outside.withheld], [[plain, byName, allowed], []]);
    assert.deepEqual([inside.contained, outside.contained], [WHY, undefined]);
    assert.equal(await identities.svid(inside, plain), undefined);
    assert.ok(await identities.svid(inside, byName));
    assert.equal(identities.holders(plain), 1);
    assert.equal(identities.holders(byName), 2);
    const held = identities.explain(inside, plain.spiffeId);
    assert.equal(held.reason, 'contained');
    assert.match(held.detail, /in a container \(its cgroup was made by a container runtime\)/);
    assert.deepEqual(held.candidates, [{ entryId: plain.id, lacks: [] }]);
    // Not the reason, where more stands between them.
    const other = await create('/other', [MINE, 'unix:gid:9']);
    assert.equal(identities.explain(inside, other.spiffeId).reason, 'lacks-selectors');
    const past = await create('/past', [MINE], { expires_at: 1 });
    assert.equal(identities.explain(inside, past.spiffeId).reason, 'expired');
  });

  test('that has no entry has no bundle, and hears why', async (t) => {
    const { identities, create } = await makeJoin(t);
    await create('/plain', [MINE]);
    const caller = identities.caller(contained(MINE));
    await caller.attestAfter(0);
    const held = identities.bundle(caller);
    assert.ok('reason' in held);
    assert.equal(held.reason, 'contained');
  });

  test('is told when an entry becomes one for it, ceases to be, or is withheld from it; or when it enters a container', async (t) => {
    const { identities, registry, create } = await makeJoin(t);
    const peer = new ScriptedPeer(MINE);
    const caller = identities.caller(peer);
    await caller.attestAfter(0);
    let told = 0;
    caller.watchIdentity(WEB, () => {
      told += 1;
    });
    const { id } = await create('/web', [MINE]);
    assert.deepEqual([told, caller.entries.length], [1, 1]);
    peer.contained = WHY;
    await caller.reattest();
    assert.deepEqual([told, caller.entries.length, caller.withheld.length], [2, 0, 1]);
    await registry.update(id, { hint: 'h' });
    assert.equal(told, 3, 'why it is held may be another reason by now');
    await registry.update(id, { allowContained: true });
    assert.deepEqual([told, caller.entries.length, caller.withheld.length], [4, 1, 0]);
    await registry.update(id, { allowContained: false });
    assert.deepEqual([told, caller.entries.length], [5, 0]);
    await registry.delete(id);
    assert.deepEqual([told, caller.withheld.length], [6, 0]);
  });
});

describe('remedies for a caller in a container', () => {
  const look = async (
    t: Parameters<typeof makeJoin>[0],
    caller: readonly string[],
    entry: readonly string[],
    holder?: ScriptedPeer,
  ) => {
    const { registry, identities, clock, create } = await makeJoin(t);
    const { id } = await create('/web', entry);
    if (holder !== undefined) await identities.caller(holder).attestAfter(0);
    const selectors = caller.map((one) => splitSelector(one)!);
    const query = { spiffeId: WEB, limit: 10, failed: false, contained: WHY, replaced: undefined };
    return { id, ...explain(selectors, query, { registry, identities }, clock.now()) };
  };
  const CREATE = `sidekey entry create --spiffe-id ${WEB}`;

  test('are an entry for the container; the one that there is stays, and what opens it is said in words', async (t) => {
    const { id, asked, near, fixes, note } = await look(t, [MINE, NAME, DIGEST], [MINE]);
    assert.deepEqual([asked!.given, asked!.reason], [false, 'contained']);
    assert.deepEqual([near[0]!.fix, near[0]!.withheld], [undefined, true]);
    assert.deepEqual(fixes, [`${CREATE} --selector ${DIGEST} --selector ${NAME}`]);
    const allow = `sidekey entry update ${id} --allow-contained would give the identity to every container`;
    for (const text of [note!, near[0]!.note!]) assert.ok(text.includes(allow), text);
  });

  test('say where container facts come from while none is known', async (t) => {
    const { fixes, note } = await look(t, [MINE, 'unix:path:/bin/web'], [MINE]);
    assert.deepEqual(fixes, []);
    assert.match(note!, /sidekey serve with --docker-socket to identify the container; .* --allow-contained would/);
  });

  test('make no entry that is there already', async (t) => {
    const { fixes } = await look(t, [MINE, NAME, DIGEST], [NAME, DIGEST, 'unix:uid:8']);
    assert.deepEqual(fixes, [`${CREATE} --selector ${DIGEST} --selector ${NAME}`]);
    const { registry, identities, clock, create } = await makeJoin(t);
    await create('/web', [NAME, DIGEST], { expires_at: 1 });
    const query = { spiffeId: WEB, limit: 10, failed: false, contained: WHY, replaced: undefined };
    const caller = [NAME, DIGEST].map((one) => splitSelector(one)!);
    const again = explain(caller, query, { registry, identities }, clock.now()).fixes;
    assert.equal(again.length, 1);
    assert.match(again[0]!, /^sidekey entry update .* --expires-at never$/);
  });

  test('do not open an entry that it lacks something of', async (t) => {
    const { asked, fixes, note } = await look(t, [MINE, NAME, DIGEST], ['unix:uid:8']);
    assert.equal(asked!.reason, 'lacks-selectors');
    assert.deepEqual(fixes, [`${CREATE} --selector ${DIGEST} --selector ${NAME}`]);
    assert.doesNotMatch(note!, /--allow-contained/);
  });

  test('say that others have the entry', async (t) => {
    const { near } = await look(t, [MINE, NAME], [MINE], new ScriptedPeer(MINE));
    assert.match(near[0]!.note!, /a connected caller has the identity through this entry/);
  });

  test('never are an entry of unix selectors alone', async (t) => {
    const facts = [MINE, 'unix:gid:7', 'unix:path:/bin/web', 'unix:user:web', NAME, DIGEST];
    for (let at = 1; at < 2 ** facts.length; at += 3) {
      const caller = facts.filter((_, bit) => (at & (1 << bit)) !== 0);
      await t.test(caller.join(' '), async (t) => {
        const { fixes, near } = await look(t, caller, ['unix:uid:8', 'unix:user:web']);
        for (const fix of [...fixes, ...near.flatMap((miss) => miss.fix ?? [])]) {
          assert.ok(fix.includes(`--selector ${DIGEST}`), fix);
        }
      });
    }
  });
});

test('entries that are withheld are listed with those who wait, and with what is on record', async (t) => {
  const { identities, registry, clock, create } = await makeJoin(t);
  const [live, past, mended] = [
    await create('/live', [MINE], { id: '1' }),
    await create('/past', ['unix:uid:8'], { id: '2' }),
    await create('/mended', ['unix:uid:9'], { allow_contained: true }),
  ];
  for (let at = 0; at < 7; at += 1) await identities.caller(contained(MINE)).attestAfter(0);
  const record = (id: string, at: number) => ({ at, candidates: [{ entryId: id, lacks: [] }] });
  const asked: unknown[] = [];
  const decisions = {
    list: async (query: unknown) => {
      asked.push(query);
      const records = [record(past.id, 5), record(past.id, 3), record(mended.id, 4), record('gone', 2)];
      return { decisions: records as never, nextCursor: undefined };
    },
  };
  const found = await withheldEntries({ identities, registry, decisions }, clock.now());
  assert.deepEqual(asked, [{ reason: 'contained', limit: 1_000 }]);
  assert.deepEqual(
    found.map(({ entry, callers, pids, why, decisions, lastAt }) => [
      entry.id,
      callers,
      pids.length,
      why,
      decisions,
      lastAt,
    ]),
    [
      [live.id, 7, 5, WHY, 0, undefined],
      [past.id, 0, 0, undefined, 2, 5],
    ],
  );
});
