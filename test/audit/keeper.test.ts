/** The pruning of a running server's audit, and the hashes in its log, on a real database. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import Sqlite from 'better-sqlite3';
import { SERVER } from '../../src/audit/actor.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import { AuditKeeper } from '../../src/server/audit-keeper.ts';
import { linesOf, verified } from '../registry/store/audit.ts';
import { TRUST_DOMAIN, temporaryDirectory } from '../registry/support.ts';
import { TestClock } from '../support/clock.ts';
import { recordingLog } from '../support/recording-log.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

async function open(t: TestContext, limits: { auditKeep?: number; auditMaxSize?: number } = {}) {
  const file = path.join(temporaryDirectory(t), 'a.db');
  const store = openSqliteStore({ path: file, trustDomain: TRUST_DOMAIN });
  t.after(() => store.close());
  // After the first row, which has the machine's time.
  const clock = new TestClock(Date.now() + DAY);
  const { log, lines } = recordingLog();
  const keeper = new AuditKeeper({
    store: store.audit,
    clock,
    log,
    auditKeep: 7 * 86_400,
    auditMaxSize: 2 ** 30,
    ...limits,
  });
  t.after(() => keeper.close());
  const add = (count: number, at = clock.now()) =>
    store.audit.append(Array.from({ length: count }, () => ({ at, action: 'token.created', by: SERVER, target: 'x' })));
  const issue = (notAfter: number) => {
    const ids = {
      kind: 'x509',
      serial: '01',
      spiffeId: 'spiffe://ilinux.io/a',
      entryId: 'e',
      authorityId: 'ab',
    } as const;
    return store.issuances.recordIssuances([{ ...ids, notBefore: 0, notAfter, issuedAt: clock.now() }]);
  };
  return { audit: store.audit, store, file, clock, lines, keeper, add, issue };
}

describe('the keeper of the audit', () => {
  test('logs the newest hash each hour, and at the stop', async (t) => {
    const { audit, clock, lines, keeper, add } = await open(t);
    const told = () => lines.flatMap(({ msg, audit_hash }) => (audit_hash === undefined ? [] : [[msg, audit_hash]]));
    const hashes: string[] = [];
    for (let hour = 1; hour <= 2; hour += 1) {
      await add(1);
      hashes.push((await audit.head()).hash);
      clock.advance(HOUR);
      while (told().length < hour) await new Promise(setImmediate);
    }
    await add(1);
    hashes.push((await audit.head()).hash);
    await keeper.close();
    assert.deepEqual(told(), [
      ['audit', hashes[0]],
      ['audit', hashes[1]],
      ['audit at stop', hashes[2]],
    ]);
    verified(await linesOf(audit), hashes[1]);
  });

  test('prunes by age in slices, and deletes what is pruned', async (t) => {
    const { audit, store, clock, keeper, add, issue } = await open(t);
    await add(700);
    await issue(clock.now() + HOUR);
    await issue(clock.now() + 3 * DAY);
    await add(3);
    const { hash } = await audit.head();
    clock.advance(7 * DAY + 2 * HOUR);
    await keeper.prune();
    // The certificate of the second issuance ended less than seven days ago.
    assert.deepEqual((await audit.head()).after.sequence, 702);
    assert.equal((await store.issuances.newest({ limit: 9 })).length, 1);
    const lines = await linesOf(audit);
    assert.equal(verified(lines, hash).anchored, true);
    await keeper.prune();
    assert.deepEqual(await linesOf(audit), lines, 'once');
    clock.advance(4 * DAY);
    await keeper.prune();
    assert.ok((await audit.head()).after.sequence > 702);
    assert.equal(verified(await linesOf(audit)).anchored, true);
  });

  test('prunes by size, and says if it cannot', async (t) => {
    const { audit, clock, keeper, lines, add, issue } = await open(t, { auditMaxSize: 20_000 });
    await add(300);
    await keeper.prune();
    assert.ok((await audit.head()).bytes <= 20_000);
    const warned = () => lines.filter(({ msg }) => /larger than auditMaxSize/.test(String(msg))).length;
    await issue(clock.now() + HOUR);
    await add(300);
    await keeper.prune();
    assert.equal(warned(), 1);
    assert.ok((await audit.head()).bytes > 60_000);
    clock.advance(HOUR + 1_000);
    await keeper.prune();
    assert.ok((await audit.head()).bytes <= 20_000);
    assert.equal(verified(await linesOf(audit)).anchored, true);
  });

  test('deletes what a killed process has marked, a minute after the start', async (t) => {
    const { audit, clock, keeper, add, file } = await open(t);
    await add(10);
    const limits = { before: clock.now() + 1, maxBytes: 1e9, now: clock.now() };
    await audit.markPruned((await audit.prunable(limits, 5))!, clock.now());
    const db = new Sqlite(file, { readonly: true });
    t.after(() => db.close());
    const oldest = () => db.prepare('SELECT min(sequence) FROM audit').pluck().get();
    assert.equal(oldest(), 1);
    clock.advance(60_000);
    await keeper.close();
    assert.equal(oldest(), 6);
    verified(await linesOf(audit));
  });
});

test('docs/audit.md names every action', async () => {
  const { AUDIT_ACTIONS } = await import('../../src/audit/event.ts');
  const text = readFileSync(path.resolve(import.meta.dirname, '../../docs/audit.md'), 'utf8');
  const named = new Set([...text.matchAll(/`([a-z_]+\.[a-z_]+)`/g)].map(([, name]) => name));
  for (const action of Object.keys(AUDIT_ACTIONS)) assert.ok(named.has(action), action);
});
