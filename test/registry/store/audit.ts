/** The chain of the audit, from the store alone. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { auditLines } from '../../../src/admin/audit-lines.ts';
import { SERVER } from '../../../src/audit/actor.ts';
import type { AuditEvent } from '../../../src/audit/event.ts';
import { ChainVerifier, type Verified } from '../../../src/audit/verifier.ts';
import type { IssuanceRecord } from '../../../src/base/issuance.ts';
import type { AuditStore } from '../../../src/registry/store/audit-store.ts';
import { TOKEN_SPAN_MS } from '../../../src/registry/store/issuance-store.ts';
import type { MakeDatabase } from './conformance.ts';
import { entry, refuses, write } from './values.ts';

/** Noon UTC, 1 June 2026. */
export const NOON = Date.UTC(2026, 5, 1, 12);
const HOUR = 3_600_000;

export function event(at: number, more: Partial<AuditEvent> = {}): AuditEvent {
  return { at, action: 'token.created', by: SERVER, target: 'a', ...more };
}

function issuance(number: number, notAfter = NOON + HOUR): IssuanceRecord {
  const serial = number.toString(16).padStart(4, '0');
  return {
    kind: 'x509',
    serial,
    spiffeId: `spiffe://ilinux.io/${number % 3}`,
    entryId: 'e',
    authorityId: 'ab',
    notBefore: 1,
    notAfter,
    issuedAt: NOON,
  };
}

/** The lines of an export of everything. */
export async function linesOf(store: AuditStore, after?: number): Promise<string[]> {
  let text = '';
  for await (const chunk of auditLines(store, { after, filter: undefined })) text += chunk;
  assert.ok(text.endsWith('\n'));
  return text.slice(0, -1).split('\n');
}

/** @throws ChainError */
export function verified(lines: readonly string[], expected?: string): Verified {
  const verifier = new ChainVerifier(expected);
  for (const line of lines) verifier.add(line);
  return verifier.end();
}

async function pruned(store: AuditStore, limits: { before: number; maxBytes?: number; now?: number }, limit = 3) {
  const all = { maxBytes: Number.POSITIVE_INFINITY, now: NOON, ...limits };
  let to = await store.prunable(all, limit);
  for (let next = to; next?.more === true; ) {
    next = await store.prunable(all, limit, next);
    to = next ?? to;
  }
  if (to === undefined) return undefined;
  await store.markPruned(to, all.now);
  return to;
}

export function testAudit(database: MakeDatabase): void {
  describe('the audit', () => {
    test('is a chain of all rows, from every store on the database', async (t) => {
      const shared = database(t);
      const [one, two] = [await shared.open(), await shared.open()];
      await one.audit.append([event(NOON), event(NOON + 1)]);
      await two.issuances.recordIssuances([issuance(1), issuance(2)]);
      await one.issuances.recordIssuances([issuance(3)]);
      await two.audit.append([event(NOON + 2, { target: 'ünï\u2028code\u0000' })]);
      const head = await one.audit.head();
      assert.equal(head.sequence, 6);
      assert.deepEqual(head.after, { sequence: 0, hash: '0'.repeat(64) });
      const lines = await linesOf(two.audit);
      const { hash, rows, issuances, anchored } = verified(lines, head.hash);
      assert.deepEqual({ hash, rows, issuances, anchored }, { hash: head.hash, rows: 6, issuances: 3, anchored: true });
      const [newest] = await one.audit.rows({ before: 7, limit: 1 });
      assert.equal(newest!.hash, head.hash);
      assert.deepEqual(
        (await one.audit.issuances(2, 3)).map(({ number, record }) => [number, record]),
        [
          [2, issuance(2)],
          [3, issuance(3)],
        ],
      );
    });

    test('has the rows of a write, or none if the write is refused', async (t) => {
      const { entries, audit } = await database(t).open();
      const one = entry('one');
      await entries.write(write({ create: [one] }), [event(NOON, { target: 'one' })]);
      const { sequence } = await audit.head();
      await refuses(entries.write(write({ create: [one] }), [event(NOON)]), 'ERR_ENTRY_EXISTS');
      assert.equal((await audit.head()).sequence, sequence);
    });

    test('goes on from a row, with its hash', async (t) => {
      const { audit } = await database(t).open();
      await audit.append([event(NOON), event(NOON), event(NOON)]);
      const all = await linesOf(audit);
      const later = await linesOf(audit, 2);
      assert.deepEqual(later.slice(1), all.slice(3));
      const { after, anchored, hash } = verified(later);
      assert.deepEqual({ after, anchored, hash }, { after: 2, anchored: false, hash: (await audit.head()).hash });
      assert.equal((await linesOf(audit, 99)).length, 1);
    });

    test('is pruned by age, and the chain is provable as before', async (t) => {
      const { audit, issuances } = await database(t).open();
      await audit.append([event(NOON - 9 * HOUR), event(NOON - 8 * HOUR), event(NOON - 7 * HOUR)]);
      await issuances.recordIssuances([issuance(1, NOON - 7 * HOUR), issuance(2, NOON - 6 * HOUR)]);
      await audit.append([event(NOON - 2 * HOUR), event(NOON)], { authorityRevision: 7 });
      const before = await audit.head();
      // The first row is of the present: the test's clock is another one.
      assert.equal(await pruned(audit, { before: NOON - 3 * HOUR }), undefined);
      const all = await linesOf(audit);
      const end = { before: Date.now() + HOUR, now: Date.now() + HOUR };
      const to = await pruned(audit, end);
      assert.deepEqual([to?.last, to?.issuances], [6, 2]);
      const head = await audit.head();
      assert.equal(head.sequence, before.sequence + 1);
      assert.equal(head.after.sequence, 6);
      assert.ok(head.bytes < before.bytes);
      for (;;) {
        const lines = await linesOf(audit);
        const result = verified(lines, before.hash);
        assert.deepEqual([result.after, result.anchored, result.rows], [6, true, 2]);
        assert.equal(lines[1], all.at(-1));
        if (!(await audit.deletePruned(2))) break;
      }
      assert.equal(await audit.authorityRevision(), 7);
      await issuances.recordIssuances([issuance(9)]);
      assert.deepEqual(
        (await audit.issuances(0, 99)).map(({ number }) => number),
        [2, 3],
        'numbers go on',
      );
      verified(await linesOf(audit));
      assert.equal(await pruned(audit, { before: 0 }), undefined);
    });

    test('proves the records of tokens, and that they were removed after their end', async (t) => {
      const { audit, issuances } = await database(t).open();
      const ofToken = (number: number, end: number) => ({ ...issuance(number, end), kind: 'jwt' as const });
      const end = NOON + TOKEN_SPAN_MS;
      await issuances.recordIssuances([ofToken(1, end), issuance(2), ofToken(3, end - 1), ofToken(4, end + 1)]);
      await issuances.recordIssuances([issuance(5)]);
      const groups = (await linesOf(audit)).filter((line) => line.includes('svid.issued'));
      assert.deepEqual(
        groups.map((line) => JSON.parse(line).detail).map(({ kind, first, last }) => [kind, first, last]),
        [
          ['jwt', 1, 2],
          ['x509', 3, 3],
          ['jwt', 4, 4],
          ['x509', 5, 5],
        ],
      );
      assert.equal(verified(await linesOf(audit)).issuances, 5);
      assert.equal(await issuances.pruneTokens(end - 1, 9), 0, 'the span is not over');
      const { sequence, bytes } = await audit.head();
      assert.equal(await issuances.pruneTokens(end + 1, 9), 1);
      assert.equal(await issuances.pruneTokens(end + TOKEN_SPAN_MS, 1), 1);
      for (const left of [1, 0]) {
        const { issuances: proven, prunedTokens } = verified(await linesOf(audit));
        assert.deepEqual([proven, prunedTokens], [2, 3]);
        assert.equal(await issuances.pruneTokens(end + TOKEN_SPAN_MS, 9), left);
      }
      const head = await audit.head();
      assert.equal(head.sequence, sequence + 2);
      assert.ok(head.bytes - bytes < 1_000);
    });

    test('is pruned by size, but never an issuance whose certificate is valid', async (t) => {
      const { audit, issuances } = await database(t).open();
      await audit.append(Array.from({ length: 20 }, () => event(NOON)));
      const { bytes } = await audit.head();
      assert.ok(bytes > 20 * 100 && bytes < 20 * 400, String(bytes));
      const limits = { before: 0, maxBytes: bytes / 2 };
      const to = await pruned(audit, limits);
      assert.ok(to !== undefined && to.last > 8 && to.last < 12, JSON.stringify(to));
      assert.ok((await audit.head()).bytes < bytes * 0.7);
      await issuances.recordIssuances([issuance(1)]);
      await audit.append(Array.from({ length: 20 }, () => event(NOON)));
      const stuck = await pruned(audit, { ...limits, maxBytes: 0 });
      assert.deepEqual([stuck?.last, stuck?.issuances], [22, 0], 'up to the row before the issuance');
      const later = await pruned(audit, { ...limits, maxBytes: 0, now: NOON + 2 * HOUR });
      assert.equal(later?.issuances, 1);
      const { anchored } = verified(await linesOf(audit));
      assert.ok(anchored);
    });

    test('fails as a whole if it cannot be written', async (t) => {
      const { audit } = await database(t).open();
      const bad = event(Number.NaN);
      await assert.rejects(audit.append([event(NOON), bad]), { code: 'ERR_STORE' });
      assert.equal((await audit.head()).sequence, 1);
    });
  });
}
