import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LimitError } from '../../src/limits/limit-error.ts';
import { MemoryBudget } from '../../src/limits/memory.ts';
import { type MemoryHolder, type Owner, Owners } from '../../src/limits/owner.ts';
import { Counters } from '../../src/telemetry/counters.ts';

class TestHolder implements MemoryHolder {
  readonly owner: Owner;
  readonly budget: MemoryBudget;
  reason: string | undefined;
  constructor(owner: Owner, budget: MemoryBudget) {
    this.owner = owner;
    this.budget = budget;
  }
  shed(reason: string): void {
    this.reason = reason;
    this.budget.releaseAll(this);
  }
}

test('an owner is charged no more than its limit, and a refused charge changes nothing', () => {
  const owners = new Owners();
  const budget = new MemoryBudget({ memoryPerOwner: 100, memory: 1_000 }, owners, new Counters());
  const one = new TestHolder(owners.user(1), budget);
  budget.hold(one, 60);
  assert.throws(() => budget.hold(one, 41), {
    name: 'LimitError',
    message: 'uid 1 has reached its memory limit of 100 bytes (memoryPerUid)',
  });
  budget.hold(one, 40);
  budget.hold(new TestHolder(owners.user(2), budget), 100);
  budget.release(one, 30);
  budget.hold(one, 30);
  assert.equal(budget.heldBytes, 200);
});

test('when the common limit is reached, the largest owner loses its largest call, and a modest one is served', () => {
  const owners = new Owners();
  const counters = new Counters();
  const budget = new MemoryBudget({ memoryPerOwner: 100, memory: 200 }, owners, counters);
  const [small, large] = [new TestHolder(owners.user(1), budget), new TestHolder(owners.user(1), budget)];
  budget.hold(small, 20);
  budget.hold(large, 80);
  const other = new TestHolder(owners.user(2), budget);
  budget.hold(other, 90);
  const modest = new TestHolder(owners.user(3), budget);
  budget.hold(modest, 15);
  assert.match(large.reason!, /^all callers together have reached the memory limit of 200 bytes, and uid 1 uses most$/);
  assert.deepEqual([small.reason, other.reason, modest.reason], [undefined, undefined, undefined]);
  assert.equal(budget.heldBytes, 125);
  assert.equal(counters.get('memory_shed_total'), 1);
  // A call that was ended does not return its charge a second time.
  budget.release(large, 80);
  assert.equal(budget.heldBytes, 125);
});

test('when the common limit is reached, the apparent containers of one user count together', () => {
  const owners = new Owners();
  const budget = new MemoryBudget({ memoryPerOwner: 100, memory: 300 }, owners, new Counters());
  const honest = new TestHolder(owners.user(1), budget);
  budget.hold(honest, 40);
  const hostile = Array.from({ length: 13 }, (_, i) => new TestHolder(owners.container(`/delegated/${i}`, 7), budget));
  for (const each of hostile) budget.hold(each, 20);
  const modest = new TestHolder(owners.user(2), budget);
  budget.hold(modest, 10);
  assert.equal(honest.reason, undefined);
  assert.equal(hostile.filter(({ reason }) => reason !== undefined).length, 1);
});

test('the sums match the charges, in any order of events', () => {
  const step = fc.record({
    holder: fc.integer({ min: 0, max: 7 }),
    bytes: fc.integer({ min: 1, max: 60 }),
    kind: fc.constantFrom('hold', 'release', 'releaseAll'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const owners = new Owners();
      const budget = new MemoryBudget({ memoryPerOwner: 100, memory: 150 }, owners, new Counters());
      const all = [0, 0, 1, 1]
        .map((uid) => owners.user(uid))
        .concat([0, 0, 1, 1].map((n) => owners.container(`/c/${n}`, 0)));
      const holders = all.map((owner) => new TestHolder(owner, budget));
      const held = new Map(holders.map((holder) => [holder, 0]));
      for (const { holder: at, bytes, kind } of steps) {
        const holder = holders[at]!;
        if (kind === 'hold') {
          try {
            budget.hold(holder, bytes);
            held.set(holder, held.get(holder)! + bytes);
          } catch (error) {
            assert.ok(error instanceof LimitError);
          }
        } else if (kind === 'release') {
          const some = Math.min(bytes, held.get(holder)!);
          if (some > 0) budget.release(holder, some);
          held.set(holder, held.get(holder)! - some);
        } else {
          budget.releaseAll(holder);
          held.set(holder, 0);
        }
        for (const one of holders) {
          if (one.reason !== undefined) held.set(one, 0);
          one.reason = undefined;
        }
        const sum = [...held.values()].reduce((a, b) => a + b, 0);
        assert.equal(budget.heldBytes, sum);
        assert.ok(sum <= 150);
        for (const account of owners.accounts()) {
          const of = [...held].filter(([one]) => one.owner.accounts.includes(account)).reduce((a, [, n]) => a + n, 0);
          assert.equal(account.heldBytes, of);
          assert.ok(account.heldBytes <= 100 * account.share);
        }
      }
    }),
  );
});
