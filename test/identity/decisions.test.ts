/** The record of decisions, on a real database. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Decisions, KEPT, KEPT_MS, type Noted, WRITE_AFTER_MS } from '../../src/identity/decisions.ts';
import type { DecisionRecord, DecisionStore, DecisionWrite } from '../../src/registry/decision.ts';
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

async function book(t: TestContext, from?: { file: string }) {
  const opened = await open(t, from ?? {});
  const { store, clock } = opened;
  return { ...opened, decisions: await Decisions.open({ store: store.decisions, clock, log: SILENT }) };
}

describe('the record of decisions', () => {
  it('gives each an id, tells all of it, and finds it by pid and by SPIFFE ID, newest first', async (t) => {
    const { decisions, clock } = await book(t);
    const candidates = [{ entryId: 'e', lacks: ['unix:uid:0'] }];
    const refused = decisions.note(noted('x', { kind: 'refused', pid: 8, name: undefined, spiffeId: undefined }));
    const hold = decisions.hold(noted(WEB, { candidates }), undefined);
    assert.match(hold.id, /^d-[0-9a-f]{12}$/);
    const record: DecisionRecord = { ...noted(WEB, { candidates }), id: hold.id, at: clock.now(), endedAt: undefined };
    assert.deepEqual(await decisions.get(hold.id), record);
    assert.equal(await decisions.get('d-000000000000'), undefined);
    const ids = async (query: object) => (await decisions.list({ limit: 9, ...query })).decisions.map(({ id }) => id);
    assert.deepEqual(await ids({}), [hold.id, refused]);
    assert.deepEqual(await ids({ pid: 8 }), [refused]);
    assert.deepEqual(await ids({ spiffeId: WEB }), [hold.id]);
    const first = await decisions.list({ limit: 1 });
    const second = await decisions.list({ limit: 1, cursor: first.nextCursor! });
    assert.deepEqual([second.decisions.map(({ id }) => id), second.nextCursor], [[refused], undefined]);
  });

  it('goes on with the record of a hold while the reason is the same, and says when it ended', async (t) => {
    const { decisions, clock } = await book(t);
    const hold = decisions.hold(noted(WEB), undefined);
    clock.advance(5_000);
    decisions.end(hold);
    assert.equal((await decisions.get(hold.id))!.endedAt, clock.now());
    const again = decisions.hold(noted(WEB, { detail: 'said otherwise' }), hold);
    assert.equal(again.id, hold.id);
    const { at, detail, endedAt } = (await decisions.get(hold.id))!;
    assert.deepEqual([at, detail, endedAt], [clock.now() - 5_000, 'said otherwise', undefined]);
    const other = decisions.hold(noted(WEB, { reason: 'expired' }), hold);
    assert.notEqual(other.id, hold.id);
    decisions.end(other);
    assert.equal((await decisions.get(other.id))!.endedAt, clock.now());
  });

  it('writes by itself after a second, not when it is noted', async (t) => {
    const { decisions, clock, store } = await book(t);
    const id = decisions.note(noted(WEB));
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
    const hold = decisions.hold(noted(WEB), undefined);
    const refusal = decisions.note(noted('x', { kind: 'refused' }));
    await decisions.close();
    const next = await book(t, { file });
    assert.equal((await next.decisions.get(hold.id))!.endedAt, clock.now());
    assert.equal((await next.decisions.get(refusal))!.endedAt, undefined);
    next.clock.advance(KEPT_MS + 1);
    const last = await Decisions.open({ store: next.store.decisions, clock: next.clock, log: SILENT });
    assert.equal(await last.get(hold.id), undefined);
  });

  it('keeps what is held for longer than a day for as long as it is held', async (t) => {
    const { decisions, clock } = await book(t);
    const hold = decisions.hold(noted(WEB), undefined);
    const refusal = decisions.note(noted('x', { kind: 'refused' }));
    await decisions.get(hold.id);
    clock.advance(KEPT_MS + 1);
    const later = decisions.note(noted('y', { kind: 'refused' }));
    assert.ok(await decisions.get(later));
    assert.equal(await decisions.get(refusal), undefined);
    assert.equal((await decisions.get(hold.id))!.endedAt, undefined);
    decisions.end(hold);
    assert.equal(await decisions.get(hold.id), undefined);
  });

  it('keeps the newest ten thousand', async (t) => {
    const { decisions } = await book(t);
    const oldest = decisions.note(noted('oldest'));
    for (let i = 0; i < KEPT + 1_000; i += 1) {
      decisions.note(noted(`n-${i}`));
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
        if (writes < 500) for (let i = 0; i < 60; i += 1) decisions.note(noted(`n-${writes}-${i}`));
        await store.decisions.write(write);
      },
    };
    const decisions = await Decisions.open({ store: flooded, clock, log: SILENT });
    const id = decisions.note(noted(WEB));
    assert.equal((await decisions.get(id))!.name, WEB);
    assert.equal(writes, 1);
    const last = decisions.note(noted('last'));
    assert.equal((await decisions.get(last))!.name, 'last');
    assert.ok(writes < 10, `${writes} writes`);
    writes = 500;
    const written = async () => (await store.decisions.list({ limit: 1_000 })).decisions.length;
    const before = await written();
    clock.advance(WRITE_AFTER_MS);
    await decisions.close();
    assert.ok((await written()) > before, 'the rest is written too');
  });

  it('tries again what the store has refused', async (t) => {
    const { clock, store } = await open(t);
    let full = true;
    const failing: DecisionStore = {
      ...store.decisions,
      write: (write: DecisionWrite) => (full ? Promise.reject(new Error('disk full')) : store.decisions.write(write)),
    };
    const decisions = new Decisions({ store: failing, clock, log: SILENT });
    const id = decisions.note(noted(WEB));
    assert.equal((await decisions.get(id))!.id, id);
    full = false;
    await decisions.close();
    assert.equal((await store.decisions.get(id))!.id, id);
  });
});
