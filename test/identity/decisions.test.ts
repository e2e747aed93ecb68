/** The record of decisions, on a real database. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import {
  Decisions,
  KEPT,
  KEPT_MS,
  KEPT_OF_OWNER,
  type Noted,
  type NotedHold,
  PER_SECOND,
  WRITE_AFTER_MS,
} from '../../src/identity/decisions.ts';
import { type Owner, Owners } from '../../src/limits/owner.ts';
import type { DecisionRecord } from '../../src/registry/decision.ts';
import type { DecisionStore, DecisionWrite } from '../../src/registry/store/decision-store.ts';
import { open, SILENT } from '../registry/support.ts';
import { until } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';

function noted(name: string, more: Partial<Noted> = {}): Noted {
  return {
    ...{ kind: 'held', pid: 7, uid: 1000, gid: 1000, connection: 'pipe-1', node: 'web-1', name, spiffeId: name },
    ...{ facts: ['unix:uid:1000'], reason: 'no-entry', detail: `no entry gives ${name}`, candidates: [] },
    ...more,
  } as Noted;
}

/** By an owner that has used up nothing. */
function note(decisions: Decisions, what: Noted, owner: Owner = new Owners().user(1000)): string {
  const id = decisions.note(owner, () => what);
  assert.ok(id !== undefined);
  return id;
}

function hold(decisions: Decisions, what: Noted, before: NotedHold | undefined): NotedHold {
  const held = decisions.hold(new Owners().user(1000), what.reason, () => what, before);
  assert.ok(held !== undefined);
  return held;
}

async function book(t: TestContext, from?: { file: string }) {
  const opened = await open(t, from ?? {});
  const { store, clock } = opened;
  return { ...opened, decisions: await Decisions.open({ store: store.decisions, clock, log: SILENT }) };
}

describe('the record of decisions', () => {
  it('gives each an id, tells all of it, and finds it by pid and by SPIFFE ID, newest first', async (t) => {
    const { decisions, clock } = await book(t);
    const candidates = [{ entryId: 'e', lacks: ['unix:uid:0'] }];
    const refused = note(decisions, noted('x', { kind: 'refused', pid: 8, name: undefined, spiffeId: undefined }));
    const held = hold(decisions, noted(WEB, { candidates }), undefined);
    assert.match(held.id, /^d-[0-9a-f]{12}$/);
    const record: DecisionRecord = {
      ...noted(WEB, { candidates }),
      owner: 'uid 1000',
      id: held.id,
      at: clock.now(),
      endedAt: undefined,
    };
    assert.deepEqual(await decisions.get(held.id), record);
    assert.equal(await decisions.get('d-000000000000'), undefined);
    const ids = async (query: object) => (await decisions.list({ limit: 9, ...query })).decisions.map(({ id }) => id);
    assert.deepEqual(await ids({}), [held.id, refused]);
    assert.deepEqual(await ids({ pid: 8 }), [refused]);
    assert.deepEqual(await ids({ spiffeId: WEB }), [held.id]);
    const first = await decisions.list({ limit: 1 });
    const second = await decisions.list({ limit: 1, cursor: first.nextCursor! });
    assert.deepEqual([second.decisions.map(({ id }) => id), second.nextCursor], [[refused], undefined]);
  });

  it('goes on with the record of a hold while the reason is the same, and says when it ended', async (t) => {
    const { decisions, clock } = await book(t);
    const held = hold(decisions, noted(WEB), undefined);
    clock.advance(5_000);
    decisions.end(held);
    assert.equal((await decisions.get(held.id))!.endedAt, clock.now());
    const again = hold(decisions, noted(WEB, { detail: 'said otherwise' }), held);
    assert.equal(again.id, held.id);
    const { at, detail, endedAt } = (await decisions.get(held.id))!;
    assert.deepEqual([at, detail, endedAt], [clock.now() - 5_000, 'said otherwise', undefined]);
    const other = hold(decisions, noted(WEB, { reason: 'expired' }), held);
    assert.notEqual(other.id, held.id);
    decisions.end(other);
    assert.equal((await decisions.get(other.id))!.endedAt, clock.now());
  });

  it('writes by itself after a second, not when it is noted', async (t) => {
    const { decisions, clock, store } = await book(t);
    const id = note(decisions, noted(WEB));
    await new Promise(setImmediate);
    assert.equal(await store.decisions.get(id), undefined);
    clock.advance(WRITE_AFTER_MS);
    let found: DecisionRecord | undefined;
    await until(() => {
      void store.decisions.get(id).then((record) => {
        found = record;
      });
      return found !== undefined;
    });
  });

  it('survives a restart for a day; holds of the former process are over', async (t) => {
    const { decisions, file, clock } = await book(t);
    const held = hold(decisions, noted(WEB), undefined);
    const refusal = note(decisions, noted('x', { kind: 'refused' }));
    await decisions.close();
    const next = await book(t, { file });
    assert.equal((await next.decisions.get(held.id))!.endedAt, clock.now());
    assert.equal((await next.decisions.get(refusal))!.endedAt, undefined);
    next.clock.advance(KEPT_MS + 1);
    const last = await Decisions.open({ store: next.store.decisions, clock: next.clock, log: SILENT });
    assert.equal(await last.get(held.id), undefined);
  });

  it('keeps what is held for longer than a day for as long as it is held', async (t) => {
    const { decisions, clock } = await book(t);
    const held = hold(decisions, noted(WEB), undefined);
    const refusal = note(decisions, noted('x', { kind: 'refused' }));
    await decisions.get(held.id);
    clock.advance(KEPT_MS + 1);
    const later = note(decisions, noted('y', { kind: 'refused' }));
    assert.ok(await decisions.get(later));
    assert.equal(await decisions.get(refusal), undefined);
    assert.equal((await decisions.get(held.id))!.endedAt, undefined);
    decisions.end(held);
    assert.equal(await decisions.get(held.id), undefined);
  });

  it('keeps the newest ten thousand', async (t) => {
    const { decisions } = await book(t);
    const oldest = note(decisions, noted('oldest'));
    for (let i = 0; i < KEPT + 1_000; i += 1) {
      note(decisions, noted(`n-${i}`), new Owners().user(i % 6));
      if (i % 5_000 === 0) await decisions.get(oldest);
    }
    let count = 0;
    for (let cursor: number | undefined = Number.MAX_SAFE_INTEGER; cursor !== undefined; ) {
      const page = await decisions.list({ limit: 1_000, cursor });
      count += page.decisions.length;
      cursor = page.nextCursor;
    }
    assert.equal(count, KEPT);
    assert.equal(await decisions.get(oldest), undefined);
  });

  it('tells what was noted while others go on noting as fast as it writes', async (t) => {
    const { clock, store } = await open(t);
    let writes = 0;
    const flooded: DecisionStore = {
      ...store.decisions,
      write: async (write) => {
        writes += 1;
        if (writes < 500)
          for (let i = 0; i < 60; i += 1) decisions.note(new Owners().user(7), () => noted(`n-${writes}-${i}`));
        await store.decisions.write(write);
      },
    };
    const decisions = await Decisions.open({ store: flooded, clock, log: SILENT });
    const id = note(decisions, noted(WEB));
    assert.equal((await decisions.get(id))!.name, WEB);
    assert.equal(writes, 1);
    const last = note(decisions, noted('last'));
    assert.equal((await decisions.get(last))!.name, 'last');
    assert.ok(writes < 10, `${writes} writes`);
    writes = 500;
    const written = async () => (await store.decisions.list({ limit: 1_000 })).decisions.length;
    const before = await written();
    clock.advance(WRITE_AFTER_MS);
    await decisions.close();
    assert.ok((await written()) > before, 'the rest is written too');
  });

  it('keeps the newest of each owner, who pushes out only its own', async (t) => {
    const { decisions, clock } = await book(t);
    const owners = new Owners();
    const other = note(decisions, noted('other'), owners.user(7));
    const first = note(decisions, noted('first'), owners.user(8));
    const noteMany = (): number => {
      let count = 0;
      while (decisions.note(owners.user(8), () => noted(`n-${count}`)) !== undefined) count += 1;
      return count;
    };
    assert.equal(noteMany(), KEPT_OF_OWNER - 1);
    assert.ok(await decisions.get(first));
    // Beyond its burst it may have some put on record each second, and then its own oldest go.
    clock.advance(1_000);
    assert.equal(noteMany(), PER_SECOND);
    assert.ok(await decisions.get(other));
    assert.equal(await decisions.get(first), undefined);
  });

  it('keeps no more of the facts than there is room for, and says so', async (t) => {
    const { decisions } = await book(t);
    const facts = Array.from({ length: 2_000 }, (_, i) => `unix:supplementary_gid:${i}`);
    const { facts: kept, detail } = (await decisions.get(note(decisions, noted(WEB, { facts }))))!;
    assert.ok(kept.length > 100 && kept.join('').length <= 8_192);
    assert.match(detail, new RegExp(`\\(of 2000 facts, ${kept.length} are on record\\)$`));
  });

  it('tries again what the store has refused', async (t) => {
    const { clock, store } = await open(t);
    let full = true;
    const failing: DecisionStore = {
      ...store.decisions,
      write: (write: DecisionWrite) => (full ? Promise.reject(new Error('disk full')) : store.decisions.write(write)),
    };
    const decisions = new Decisions({ store: failing, clock, log: SILENT });
    const id = note(decisions, noted(WEB));
    assert.equal((await decisions.get(id))!.id, id);
    full = false;
    await decisions.close();
    assert.equal((await store.decisions.get(id))!.id, id);
  });
});
