import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import {
  LOOK_EVERY_MS,
  type LookedAt,
  Looks,
  OBSERVE_MS,
  ROUND_MAX_MS,
  ROUND_MIN_MS,
  SLOW_LOOK_EVERY_MS,
} from '../../src/identity/looks.ts';
import { SequenceNumbers } from '../../src/identity/svids.ts';
import { Owners } from '../../src/limits/owner.ts';
import { TestClock } from '../support/clock.ts';
import { makeJoin, ScriptedPeer } from './support.ts';

/** A look takes no time of the event loop here, but for what a busy machine makes of it. */
const STEP_MS = 10 * LOOK_EVERY_MS;

interface Setting {
  readonly clock: TestClock;
  readonly looks: Looks;
  readonly looked: Counted[];
  revision: number;
  caller(owner: string): Counted;
  /** Lets time pass in steps, and what was begun end after each. */
  pass(milliseconds: number, step?: number): Promise<void>;
}

class Counted implements LookedAt {
  readonly owner: string;
  looks = 0;
  attested: number;
  gate: Promise<void> = Promise.resolve();
  readonly #sequence: SequenceNumbers;
  readonly #looked: Counted[];

  constructor(owner: string, sequence: SequenceNumbers, looked: Counted[]) {
    this.owner = owner;
    this.#sequence = sequence;
    this.#looked = looked;
    this.attested = sequence.next();
  }

  attestedAfter(sequence: number): boolean {
    return this.attested > sequence;
  }

  async look(): Promise<void> {
    this.looks += 1;
    this.#looked.push(this);
    const sequence = this.#sequence.next();
    await this.gate;
    this.attested = sequence;
  }

  attest(): void {
    this.attested = this.#sequence.next();
  }
}

function start(t: TestContext): Setting {
  const clock = new TestClock();
  const sequence = new SequenceNumbers();
  const looked: Counted[] = [];
  const looks = new Looks({ clock, sequence, accountsRevision: () => setting.revision, random: () => 0.5 });
  t.after(() => looks.close());
  // The pause after a look is longer where the machine was busy with something else meanwhile.
  t.mock.method(performance, 'now', () => clock.now());
  const setting: Setting = {
    clock,
    looks,
    looked,
    revision: 0,
    caller: (owner) => new Counted(owner, sequence, looked),
    async pass(milliseconds, step = STEP_MS) {
      for (let passed = 0; passed < milliseconds; passed += step) {
        clock.advance(Math.min(step, milliseconds - passed));
        await turn();
      }
    },
  };
  return setting;
}

describe('looks at callers again', () => {
  it('has every caller that waits looked at in each round, and nobody else', async (t) => {
    const { looks, caller, pass } = start(t);
    const [waiting, other] = [caller('uid 1'), caller('uid 1')];
    looks.add(waiting);
    await pass(ROUND_MIN_MS - STEP_MS);
    assert.equal(waiting.looks, 0);
    await pass(ROUND_MAX_MS - ROUND_MIN_MS);
    assert.equal(waiting.looks, 1);
    await pass(2 * ROUND_MAX_MS);
    assert.ok(waiting.looks >= 3);
    looks.remove(waiting);
    const before = waiting.looks;
    await pass(2 * ROUND_MAX_MS);
    assert.deepEqual([waiting.looks, other.looks], [before, 0]);
  });

  it('leaves a caller out of a round that was attested since it began', async (t) => {
    const { looks, caller, pass, clock } = start(t);
    const gate = Promise.withResolvers<void>();
    const [slow, attested, third] = [caller('uid 1'), caller('uid 1'), caller('uid 1')];
    slow.gate = gate.promise;
    for (const each of [slow, attested, third]) looks.add(each);
    clock.advance(ROUND_MAX_MS);
    assert.equal(slow.looks, 1);
    attested.attest();
    gate.resolve();
    await pass(1_000);
    assert.deepEqual([slow.looks, attested.looks, third.looks], [1, 0, 1]);
  });

  it('begins a round at once when an account file has changed, and one a second at most', async (t) => {
    const setting = start(t);
    const { looks, caller, pass } = setting;
    const waiting = caller('uid 1');
    looks.add(waiting);
    setting.revision += 1;
    await pass(OBSERVE_MS, OBSERVE_MS);
    assert.equal(waiting.looks, 1);
    for (let event = 0; event < 50; event += 1) {
      looks.observed();
      await pass(20, 20);
    }
    await pass(1_000);
    assert.ok(waiting.looks <= 3, `${waiting.looks} looks`);
    assert.ok(waiting.looks >= 2, 'the last event has a look after it');
  });

  it('looks at a caller that began to wait after something that its facts were read before', async (t) => {
    const { looks, caller } = start(t);
    const early = caller('uid 1');
    looks.observed();
    looks.add(early);
    assert.equal(early.looks, 1);
  });

  it('looks at all of 10,000 callers of one owner, 25 times a second in slow rounds and 50 times else', async (t) => {
    const { looks, caller, pass, looked, clock } = start(t);
    const callers = Array.from({ length: 10_000 }, () => caller('uid 1'));
    for (const each of callers) looks.add(each);
    const whole = async (every: number, begin: () => void) => {
      const from = looked.length;
      begin();
      await pass(10_000, every);
      const in10s = looked.length - from;
      assert.ok(in10s <= 10_000 / every + 1 && in10s >= 10_000 / every - 2, `${in10s} looks in 10 s`);
      await pass(10_000 * every, every);
      assert.equal(new Set(looked.slice(from)).size, callers.length);
    };
    // With a jitter of one half.
    const untilRound = (ROUND_MIN_MS + ROUND_MAX_MS) / 2;
    await whole(SLOW_LOOK_EVERY_MS, () => clock.advance(untilRound));
    await whole(LOOK_EVERY_MS, () => looks.observed());
  });

  it('has owners take turns: 10,000 callers of one delay the only one of another by a look', async (t) => {
    const { looks, caller, pass, looked } = start(t);
    for (let i = 0; i < 10_000; i += 1) looks.add(caller('uid 1'));
    const lonely = caller('uid 2');
    looks.add(lonely);
    looks.observed();
    await pass(3 * LOOK_EVERY_MS, LOOK_EVERY_MS);
    assert.ok(looked.indexOf(lonely) < 3, `looked at after ${looked.indexOf(lonely)} others`);
    looks.once(lonely);
    await pass(3 * LOOK_EVERY_MS, LOOK_EVERY_MS);
    assert.equal(lonely.looks, 2);
  });

  it('counts a caller for the owner of its uid, not for the uid', async (t) => {
    const join = await makeJoin(t);
    const peer = Object.assign(new ScriptedPeer(), {
      credentials: { pid: 1, uid: 100_001, gid: 0 },
      owner: new Owners().user(1000),
    });
    assert.equal(join.identities.caller(peer).owner, 'uid 1000');
  });

  it('goes on with other owners while a look of one does not end', async (t) => {
    const { looks, caller, pass } = start(t);
    const [stuck, behind, other] = [caller('uid 1'), caller('uid 1'), caller('uid 2')];
    stuck.gate = new Promise(() => {});
    for (const each of [stuck, behind, other]) looks.once(each);
    await pass(1_000);
    assert.deepEqual([stuck.looks, behind.looks, other.looks], [1, 0, 1]);
  });

  it('pauses for fifty times as long as a look kept the event loop busy', async (t) => {
    const { looks, caller, pass, looked } = start(t);
    const [heavy, next] = [caller('uid 1'), caller('uid 2')];
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const look = heavy.look.bind(heavy);
    heavy.look = () => {
      now += 100;
      return look();
    };
    looks.once(heavy);
    looks.once(next);
    await pass(4_900);
    assert.deepEqual(looked, [heavy]);
    await pass(200);
    assert.deepEqual(looked, [heavy, next]);
  });

  it('keeps nothing of callers that have left', async (t) => {
    const { looks, caller, pass, clock } = start(t);
    const left = caller('uid 1');
    looks.add(left);
    looks.once(left);
    looks.once(left);
    await pass(1_000);
    const before = left.looks;
    looks.forget(left);
    await pass(2 * ROUND_MAX_MS);
    assert.equal(left.looks, before);
    assert.equal(clock.pending, 0);
  });
});
