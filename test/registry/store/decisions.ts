import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DecisionRecord } from '../../../src/registry/decision.ts';
import type { DecisionQuery, DecisionStore } from '../../../src/registry/store/decision-store.ts';
import type { MakeDatabase } from './conformance.ts';

const WEB = 'spiffe://ilinux.io/web';

function decision(id: string, more: Partial<DecisionRecord> = {}): DecisionRecord {
  return {
    ...{ id, at: 1_000, kind: 'held', pid: 7, uid: 1000, gid: 1000, connection: 'pipe-1', owner: 'uid 1000' },
    ...{ node: 'web-1', facts: ['unix:uid:1000'], name: WEB, spiffeId: WEB, reason: 'no-entry', detail: 'é🤯' },
    ...{ candidates: [{ entryId: 'e', lacks: ['unix:uid:0'] }], endedAt: undefined },
    ...more,
  } as DecisionRecord;
}

async function ids(store: DecisionStore, query: Partial<DecisionQuery> = {}): Promise<string[]> {
  return (await store.list({ limit: 100, ...query })).decisions.map(({ id }) => id);
}

export function testDecisions(database: MakeDatabase): void {
  test('decisions come back as they went in, by id and by what they are about, newest first', async (t) => {
    const shared = database(t);
    const { decisions } = await shared.open();
    const other = decision('b', { pid: 8, spiffeId: undefined, reason: 'ERR_PEER_GONE', kind: 'refused' });
    await decisions.write({ put: [decision('a'), other], ended: [] });
    const again = (await shared.open()).decisions;
    assert.deepEqual(await again.get('a'), decision('a'));
    assert.deepEqual(await again.get('b'), other);
    assert.equal(await again.get('c'), undefined);
    assert.deepEqual(await ids(again), ['b', 'a']);
    assert.deepEqual(await ids(again, { pid: 8 }), ['b']);
    assert.deepEqual(await ids(again, { spiffeId: WEB }), ['a']);
    assert.deepEqual(await ids(again, { reason: 'ERR_PEER_GONE' }), ['b']);
    assert.deepEqual(await ids(again, { reason: 'no-entry', pid: 8 }), []);
    assert.deepEqual(await ids(again, { connection: { id: 'pipe-1', since: 1_000 } }), ['b', 'a']);
    assert.deepEqual(await ids(again, { connection: { id: 'pipe-1', since: 1_001 } }), [], 'of a former process');
    assert.deepEqual(await ids(again, { connection: { id: 'pipe-2', since: 0 } }), []);
  });

  test('pages of decisions follow each other without a gap', async (t) => {
    const { decisions } = await database(t).open();
    const names = ['a', 'b', 'c', 'd', 'e'];
    await decisions.write({ put: names.map((id) => decision(id)), ended: [] });
    const seen: string[] = [];
    let cursor: number | undefined;
    do {
      const page = await decisions.list({ limit: 2, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.decisions.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    assert.deepEqual(seen, names.toReversed());
  });

  test('a decision is replaced in its place, and a hold ends', async (t) => {
    const { decisions } = await database(t).open();
    await decisions.write({ put: [decision('a'), decision('b')], ended: [] });
    const anew = decision('a', { detail: 'later' });
    await decisions.write({ put: [anew], ended: [{ id: 'b', at: 9 }] });
    assert.deepEqual(await decisions.get('a'), anew);
    assert.deepEqual(await decisions.get('b'), decision('b', { endedAt: 9 }));
    assert.deepEqual(await ids(decisions), ['b', 'a']);
    const refused = decision('c', { kind: 'refused' });
    await decisions.write({ put: [refused], ended: [] });
    await decisions.endAll(12);
    assert.deepEqual(await decisions.get('a'), { ...anew, endedAt: 12 });
    assert.deepEqual(await decisions.get('b'), decision('b', { endedAt: 9 }));
    assert.deepEqual(await decisions.get('c'), refused);
  });

  test('old decisions are deleted, but no hold that goes on for its age, and of an owner only its own', async (t) => {
    const { decisions } = await database(t).open();
    const put = [
      decision('held', { at: 1 }),
      decision('ended', { at: 1, endedAt: 2 }),
      decision('refused', { at: 1, kind: 'refused' }),
      ...['a', 'b', 'c'].map((id) => decision(id, { owner: 'uid 1' })),
      decision('d'),
    ];
    await decisions.write({ put, ended: [] });
    await decisions.prune(100, 500);
    assert.deepEqual(await ids(decisions), ['d', 'c', 'b', 'a', 'held']);
    await decisions.pruneOwner('uid 1', 2);
    assert.deepEqual(await ids(decisions), ['d', 'c', 'b', 'held']);
    await decisions.prune(2, 0);
    assert.deepEqual(await ids(decisions), ['d', 'c']);
  });
}
