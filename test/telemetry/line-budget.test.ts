import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type LeftOut, LINE_BUDGET, LineBudget, SUMMARY_MS } from '../../src/telemetry/line-budget.ts';
import { TestClock } from '../support/clock.ts';

function makeBudget(limits = LINE_BUDGET) {
  const clock = new TestClock();
  const told: LeftOut[] = [];
  const budget = new LineBudget(clock, (leftOut) => told.push(leftOut), limits);
  const logged = (owner: string, lines: number) => {
    let count = 0;
    for (let i = 0; i < lines; i += 1) if (budget.mayLog(owner)) count += 1;
    return count;
  };
  return { clock, told, budget, logged };
}

describe('the budget of log lines', () => {
  test('a burst, then a rate, and a summary every ten seconds', () => {
    const { clock, told, logged } = makeBudget();
    assert.equal(logged('uid 1', 1_000), LINE_BUDGET.burst);
    clock.advance(1_000);
    assert.equal(logged('uid 1', 1_000), LINE_BUDGET.perSecond);
    assert.deepEqual(told, []);
    clock.advance(SUMMARY_MS - 1_000);
    assert.deepEqual(told, [{ owner: 'uid 1', lines: 2_000 - LINE_BUDGET.burst - LINE_BUDGET.perSecond }]);
    clock.advance(10 * SUMMARY_MS);
    assert.equal(told.length, 1, 'a quiet owner has no summary');
    assert.equal(clock.pending, 0);
  });

  test('an owner with few lines is logged beside thirty owners that use up the common budget', () => {
    const { clock, logged } = makeBudget();
    for (let second = 0; second < 120; second += 1) {
      for (let owner = 0; owner < 30; owner += 1) logged(`loud ${owner}`, 100);
      assert.equal(logged('quiet', 1), 1, `in second ${second}`);
      clock.advance(1_000);
    }
  });

  test('owners beyond the remembered ones share one bucket, and the summary names a few', () => {
    const { clock, told, budget } = makeBudget({ ...LINE_BUDGET, owners: 100 });
    for (let owner = 0; owner < 100_000; owner += 1) budget.mayLog(`uid ${owner}`);
    clock.advance(SUMMARY_MS);
    assert.ok(told.length <= 21, `${told.length} summaries`);
    assert.ok(told.some(({ owner }) => owner === 'other owners'));
  });

  test('a clock that is set back adds no tokens, and one that is set ahead at most a burst', () => {
    const { clock, logged } = makeBudget();
    logged('uid 1', 100);
    clock.set(clock.now() - 3_600_000);
    assert.equal(logged('uid 1', 100), 0);
    clock.set(clock.now() + 7_200_000);
    assert.equal(logged('uid 1', 100), LINE_BUDGET.burst);
  });

  test('property: bounded per owner and in all, and every line is logged or counted', () => {
    const step = fc.record({
      owner: fc.nat(30),
      lines: fc.integer({ min: 1, max: 300 }),
      ms: fc.integer({ min: 0, max: 5_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const limits = { ...LINE_BUDGET, owners: 10 };
        const { clock, told, logged } = makeBudget(limits);
        const begun = clock.now();
        const perOwner = new Map<string, number>();
        let asked = 0;
        let all = 0;
        for (const { owner, lines, ms } of steps) {
          const count = logged(`uid ${owner}`, lines);
          asked += lines;
          all += count;
          perOwner.set(`uid ${owner}`, (perOwner.get(`uid ${owner}`) ?? 0) + count);
          const seconds = (clock.now() - begun) / 1_000;
          assert.ok(all <= limits.totalBurst + limits.totalPerSecond * seconds);
          // A forgotten owner was quiet for a full refill, so with the shared bucket it has at most two bursts.
          for (const one of perOwner.values()) assert.ok(one <= 2 * (limits.burst + limits.perSecond * seconds));
          clock.advance(ms);
        }
        clock.advance(SUMMARY_MS);
        assert.equal(all + told.reduce((sum, { lines }) => sum + lines, 0), asked);
      }),
    );
  });
});
