import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mock, type TestContext, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { SystemClock } from '../../src/base/clock.ts';
import { TestClock } from '../support/clock.ts';

const DAY_MS = 86_400_000;
const TICK_MS = 5_000;
const LONGEST_STEP_MS = 1_000;

/** A machine whose time the test controls: the wall clock, which can jump, separate from the timers, which cannot. */
class Machine {
  #wall = Date.UTC(2026, 5, 1);

  constructor(t: TestContext) {
    t.mock.method(Date, 'now', () => this.#wall);
    // Callbacks take no time, so all due ones are called without a break.
    t.mock.method(performance, 'now', () => 0);
    mock.timers.enable({ apis: ['setTimeout'] });
    t.after(() => mock.timers.reset());
  }

  pass(milliseconds: number): void {
    for (let left = milliseconds; left > 0; left -= LONGEST_STEP_MS) {
      const step = Math.min(left, LONGEST_STEP_MS);
      this.#wall += step;
      mock.timers.tick(step);
    }
  }

  /** Sets the wall clock, as by hand or after a suspend. */
  jump(milliseconds: number): void {
    this.#wall += milliseconds;
  }
}

test('the system clock returns the wall clock', () => {
  const before = Date.now();
  const now = new SystemClock().now();
  assert.ok(before <= now && now <= Date.now());
});

test('a deadline is called once, not before its instant and never synchronously', async () => {
  const clock = new SystemClock();
  const instant = clock.now() + 20;
  let calls = 0;
  await new Promise<void>((resolve) => {
    clock.at(instant, () => {
      calls += 1;
      assert.ok(Date.now() >= instant);
    });
    assert.equal(calls, 0);
    clock.at(instant + 20, resolve);
    // This timer keeps the process alive, since the clock's own timer does not.
    const alive = setInterval(() => {}, 1_000);
    clock.at(instant + 20, () => clearInterval(alive));
  });
  assert.equal(calls, 1);
});

test('an instant in the past is called soon, but not synchronously', (t) => {
  const machine = new Machine(t);
  const calls: string[] = [];
  const clock = new SystemClock();
  clock.at(clock.now() - 1_000, () => calls.push('past'));
  clock.at(Number.NEGATIVE_INFINITY, () => calls.push('long past'));
  assert.deepEqual(calls, []);
  machine.pass(1);
  assert.deepEqual(calls, ['long past', 'past']);
});

test('a deadline beyond the maximum of setTimeout is called at its instant', (t) => {
  const machine = new Machine(t);
  const clock = new SystemClock();
  let called = 0;
  clock.at(clock.now() + 60 * DAY_MS, () => {
    called += 1;
  });
  clock.at(Number.POSITIVE_INFINITY, () => assert.fail('never'));
  machine.pass(1);
  machine.jump(60 * DAY_MS - 2);
  assert.equal(called, 0);
  machine.pass(TICK_MS);
  assert.equal(called, 1);
});

test('a wall clock that jumped ahead is noticed within a tick', (t) => {
  const machine = new Machine(t);
  const clock = new SystemClock();
  let called = false;
  clock.at(clock.now() + 3_600_000, () => {
    called = true;
  });
  machine.jump(3_600_000);
  assert.equal(called, false);
  machine.pass(TICK_MS);
  assert.equal(called, true);
});

test('after a wall clock was set back nothing is called early, and new deadlines work', (t) => {
  const machine = new Machine(t);
  const clock = new SystemClock();
  const calls: string[] = [];
  clock.at(clock.now() + 4_000, () => calls.push('before'));
  machine.jump(-3_600_000);
  clock.at(clock.now() + 1_000, () => calls.push('after'));
  machine.pass(1_000);
  assert.deepEqual(calls, ['after']);
  machine.pass(TICK_MS);
  assert.deepEqual(calls, ['after']);
  machine.pass(3_660_000);
  assert.deepEqual(calls, ['after', 'before']);
});

test('listeners are told once, within a tick, that the clock was set back, and of nothing else', (t) => {
  const machine = new Machine(t);
  const clock = new SystemClock();
  let told = 0;
  const stop = clock.onSetBack(() => {
    told += 1;
  });
  machine.pass(60_000);
  machine.jump(DAY_MS);
  machine.pass(60_000);
  assert.equal(told, 0);
  machine.jump(-3_600_000);
  machine.pass(TICK_MS);
  assert.equal(told, 1);
  machine.pass(60_000);
  assert.equal(told, 1);
  machine.jump(-TICK_MS - 1);
  machine.pass(2 * TICK_MS);
  assert.equal(told, 2);
  stop();
  machine.jump(-DAY_MS);
  machine.pass(60_000);
  assert.equal(told, 2);
});

test('a clock that is set back before its first tick is noticed too', (t) => {
  const machine = new Machine(t);
  const clock = new SystemClock();
  let told = 0;
  clock.onSetBack(() => {
    told += 1;
  });
  machine.pass(TICK_MS - 1);
  machine.jump(-60_000);
  machine.pass(TICK_MS);
  assert.equal(told, 1);
});

test('a delay lasts as long, whatever the wall clock is set to meanwhile', (t) => {
  const machine = new Machine(t);
  const clock = new SystemClock();
  clock.after(500, () => assert.fail('called off')).cancel();
  for (const jump of [-DAY_MS, DAY_MS]) {
    let called = false;
    clock.after(1_000, () => {
      called = true;
    });
    machine.jump(jump);
    machine.pass(999);
    assert.equal(called, false);
    machine.pass(1);
    assert.equal(called, true);
  }
});

test('a cancelled deadline is not called, even if another one due at the same time cancels it', (t) => {
  const machine = new Machine(t);
  const clock = new SystemClock();
  const off = clock.at(clock.now() + 10, () => assert.fail('called off'));
  off.cancel();
  off.cancel();
  const later = { cancel: () => {} };
  clock.at(clock.now() + 20, () => later.cancel());
  Object.assign(
    later,
    clock.at(clock.now() + 21, () => assert.fail('called off on the way')),
  );
  machine.pass(30);
});

test('a throwing callback is reported, and the others are called', async (t) => {
  const clock = new SystemClock();
  const uncaught: string[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error.message));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const alive = setInterval(() => {}, 1_000);
  await new Promise<void>((resolve) => {
    const instant = clock.now() + 5;
    clock.at(instant, () => {
      throw new Error('no');
    });
    clock.at(instant + 1, resolve);
  });
  clearInterval(alive);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(uncaught, ['no']);
});

test('nothing that is due later is called together with due callbacks', (t) => {
  const machine = new Machine(t);
  const clock = new SystemClock();
  const calls: number[] = [];
  for (const instant of [13, 10, 11]) clock.at(clock.now() + instant, () => calls.push(instant));
  machine.pass(10);
  assert.deepEqual(calls, [10]);
  machine.pass(2);
  assert.deepEqual(calls, [10, 11]);
  machine.pass(1);
  assert.deepEqual(calls, [10, 11, 13]);
});

test('a pending deadline does not keep the process alive', () => {
  const script = `
    import { SystemClock } from ${JSON.stringify(import.meta.resolve('../../src/base/clock.ts'))};
    const clock = new SystemClock();
    clock.at(Date.now() + 3_600_000, () => {});
    clock.after(3_600_000, () => {});
    clock.onSetBack(() => {});`;
  const options = { timeout: 30_000, encoding: 'utf8' } as const;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], options);
  assert.equal(status, 0, stderr);
});

test('an instant that is NaN is refused', () => {
  assert.throws(() => new SystemClock().at(Number.NaN, () => {}), RangeError);
});

test('deadlines are called in order, except cancelled ones, however many there are', (t) => {
  const machine = new Machine(t);
  const one = fc.record({ in: fc.integer({ min: 0, max: 4_000 }), off: fc.boolean() });
  fc.assert(
    fc.property(fc.array(one, { maxLength: 3_000, size: 'max' }), (deadlines) => {
      const clock = new SystemClock();
      const start = clock.now();
      const called: number[] = [];
      const made = deadlines.map((d) => clock.at(start + d.in, () => called.push(d.in)));
      for (const [index, deadline] of deadlines.entries()) if (deadline.off) made[index]!.cancel();
      machine.pass(4_001);
      assert.deepEqual(
        called,
        deadlines
          .filter((d) => !d.off)
          .map((d) => d.in)
          .sort((a, b) => a - b),
      );
    }),
    { numRuns: 30 },
  );
});

test('distant deadlines that are cancelled again and again do not pile up', async () => {
  const clock = new SystemClock();
  const held = Array.from({ length: 5_000 }, (_, index) => {
    const payload = { index };
    clock.at(clock.now() + DAY_MS, () => assert.fail(String(payload.index))).cancel();
    return new WeakRef(payload);
  });
  await new Promise((resolve) => setImmediate(resolve));
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const left = held.filter((reference) => reference.deref() !== undefined).length;
  assert.ok(left <= 1_100, `${left} callbacks are still in memory`);
  assert.ok(clock.now() > 0);
});

test('cleaning the heap of cancelled deadlines loses no other one', (t) => {
  const machine = new Machine(t);
  const clock = new SystemClock();
  const called: number[] = [];
  const all = Array.from({ length: 6_000 }, (_, index) => index);
  const made = all.map((index) => clock.at(clock.now() + index, () => called.push(index)));
  const isKept = (index: number) => index % 5 === 0;
  for (const index of all) if (!isKept(index)) made[index]!.cancel();
  machine.pass(6_000);
  assert.deepEqual(called, all.filter(isKept));
});

test('setting the test clock calls nothing and keeps delays; listeners are told at its tick', () => {
  const clock = new TestClock(1_000);
  const calls: string[] = [];
  clock.at(1_500, () => calls.push('at'));
  clock.after(500, () => calls.push('after'));
  clock.onSetBack(() => calls.push('back'));
  clock.set(2_000);
  assert.deepEqual(calls, []);
  clock.tick();
  assert.deepEqual(calls, ['at']);
  clock.set(0);
  clock.tick();
  clock.tick();
  assert.deepEqual(calls, ['at', 'back']);
  clock.advance(499);
  assert.deepEqual(calls, ['at', 'back']);
  clock.advance(1);
  assert.deepEqual(calls, ['at', 'back', 'after']);
});

test('the test clock calls deadlines in order and at their instants, including those added on the way', () => {
  const clock = new TestClock(0);
  const calls: string[] = [];
  clock.at(30, () => calls.push(`c@${clock.now()}`));
  clock.at(10, () => {
    calls.push(`a@${clock.now()}`);
    clock.at(20, () => calls.push(`b@${clock.now()}`));
  });
  clock.at(25, () => assert.fail('called off')).cancel();
  clock.advance(29);
  assert.deepEqual(calls, ['a@10', 'b@20']);
  assert.equal(clock.pending, 1);
  clock.advance(1);
  assert.deepEqual(calls, ['a@10', 'b@20', 'c@30']);
  assert.equal(clock.now(), 30);
});

test('many due deadlines are called in order, and the event loop runs in between', async () => {
  const clock = new SystemClock();
  const called: number[] = [];
  let turns = 0;
  const all = Promise.withResolvers<void>();
  const turn = () => {
    turns += 1;
    if (called.length < 20) setImmediate(turn);
    else all.resolve();
  };
  for (let i = 0; i < 20; i += 1) {
    clock.at(i, () => {
      called.push(i);
      if (i === 0) setImmediate(turn);
      const end = performance.now() + 3;
      while (performance.now() < end);
    });
  }
  const alive = setTimeout(() => undefined, 5_000);
  await all.promise;
  clearTimeout(alive);
  assert.deepEqual(
    called,
    Array.from({ length: 20 }, (_, i) => i),
  );
  assert.ok(turns > 2, `the loop turned ${turns} times`);
});
