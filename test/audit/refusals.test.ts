import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Actor } from '../../src/audit/actor.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { GROUPED_MS, MAX_GROUPS, MAX_GROUPS_OF_CALLER, type Refusal, Refusals } from '../../src/audit/refusals.ts';
import { TestClock } from '../support/clock.ts';
import { recordingLog } from '../support/recording-log.ts';

function start() {
  const clock = new TestClock();
  const written: AuditEvent[][] = [];
  const { log, lines } = recordingLog();
  const state = { fails: false };
  const refusals = new Refusals({
    append: async (events) => {
      if (state.fails) throw new Error('the disk is full');
      written.push([...events]);
    },
    clock,
    log,
  });
  return { clock, written, refusals, lines, state };
}

const caller = (uid: number, pid = 1): Actor => ({ kind: 'caller', owner: `uid ${uid}`, uid, pid });
const refusal = (by: Actor, code = 'ERR_ATTESTATION_FAILED'): Refusal => ({ action: 'caller.refused', by, code });
const countOf = ({ detail }: AuditEvent) => (detail as { count: number }).count;

describe('refusals', () => {
  test('are one row for each caller, code and minute', async () => {
    const { clock, written, refusals } = start();
    refusals.note({ ...refusal(caller(1, 7)), first: { decision: 'd-1' } });
    clock.advance(GROUPED_MS / 2);
    refusals.note({ ...refusal(caller(1, 8)), first: { decision: 'd-2' } });
    refusals.note(refusal(caller(2)));
    refusals.note(refusal(caller(1), 'ERR_PEER_GONE'));
    assert.equal(written.length, 0);
    clock.advance(GROUPED_MS / 2);
    assert.deepEqual(
      written[0]!.map((event) => [event.by, (event.detail as { code: string }).code, countOf(event)]),
      [
        [caller(1, 7), 'ERR_ATTESTATION_FAILED', 2],
        [caller(2), 'ERR_ATTESTATION_FAILED', 1],
        [caller(1), 'ERR_PEER_GONE', 1],
      ],
    );
    assert.deepEqual(written[0]![0]!.detail, {
      ...{ code: 'ERR_ATTESTATION_FAILED', count: 2, decision: 'd-1' },
      ...{ first_at: '2026-06-01T12:00:00.000Z', last_at: '2026-06-01T12:00:30.000Z' },
    });
    refusals.note(refusal(caller(1)));
    await refusals.close();
    assert.deepEqual(written[1]!.map(countOf), [1]);
    clock.advance(2 * GROUPED_MS);
    assert.equal(written.length, 2);
  });

  test('of any number of callers are a bounded number of rows, with the number of all', async () => {
    const { written, refusals } = start();
    for (let uid = 0; uid < 1_000; uid += 1) refusals.note(refusal(caller(uid)));
    for (let code = 0; code < 100; code += 1)
      refusals.note({ ...refusal(caller(1)), action: 'admin.refused', code: `E${code}` });
    await refusals.close();
    const [rows] = written as [AuditEvent[]];
    const of = (action: string) => rows.filter((event) => event.action === action);
    assert.equal(of('caller.refused').length, MAX_GROUPS + 1);
    assert.equal(of('admin.refused').length, MAX_GROUPS_OF_CALLER + 1);
    const sum = (events: readonly AuditEvent[]) => events.reduce((all, event) => all + countOf(event), 0);
    assert.deepEqual([sum(of('caller.refused')), sum(of('admin.refused'))], [1_000, 100]);
  });

  test('that cannot be written are written later, joined with those that follow', async () => {
    const { clock, written, refusals, lines, state } = start();
    state.fails = true;
    refusals.note(refusal(caller(1)));
    clock.advance(GROUPED_MS);
    await new Promise(setImmediate);
    for (let minute = 0; minute < 3; minute += 1) {
      for (let uid = 0; uid < 100; uid += 1) refusals.note(refusal(caller(uid)));
      clock.advance(GROUPED_MS);
      await new Promise(setImmediate);
    }
    assert.equal(lines.length, 1, 'one line for all failures');
    state.fails = false;
    await refusals.close();
    assert.equal(
      written[0]!.reduce((all, event) => all + countOf(event), 0),
      301,
    );
    assert.ok(written[0]!.length <= MAX_GROUPS + 1, String(written[0]!.length));
  });
});
