/** The state machine of the JWT keys by itself: random lives, and what always holds. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TOKEN_LEEWAY_MS } from '../../../src/base/validity.ts';
import type { JwtKey } from '../../../src/ca/jwt/jwt-key.ts';
import { type JwtPlan, type JwtSlot, planJwtKeys } from '../../../src/ca/jwt/plan.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../support.ts';

const NOW = Date.UTC(2026, 5, 1);
const LIFE = DAY;
const terms = { publishBefore: 15 * MINUTE };

type Step =
  | { readonly wait: number }
  | { readonly ask: true }
  | { readonly taint: 'active' | 'next' }
  | { readonly crash: true };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ wait: fc.constantFrom(0, SECOND, MINUTE, 10 * MINUTE, HOUR, 8 * HOUR, 2 * DAY) }),
  },
  { weight: 1, arbitrary: fc.record({ wait: fc.constantFrom(-HOUR, -3 * DAY) }) },
  fc.record({ ask: fc.constant(true as const) }),
  fc.record({ taint: fc.constantFrom('active' as const, 'next' as const) }),
  fc.constant({ crash: true as const }),
);

class Life {
  slots: readonly JwtSlot[] = [];
  now = NOW;
  replace: string | undefined;
  made = 0;

  plan(): JwtPlan {
    for (;;) {
      const plan = planJwtKeys(this.slots, { now: this.now, terms, replace: this.replace });
      if (plan !== 'key') return plan;
      this.made += 1;
      const authority = { id: `key ${this.made}`, notBefore: this.now, notAfter: this.now + LIFE } as JwtKey;
      this.slots = [...this.slots, { authority, state: 'prepared', since: this.now }];
    }
  }

  take(plan: JwtPlan): void {
    this.slots = plan.slots;
    if (this.replace !== plan.active.authority.id) this.replace = undefined;
  }
}

test('one key signs, the next one is published, and no token loses its key, whatever happens', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const life = new Life();
      life.take(life.plan());
      for (const one of steps) {
        const before = life.slots;
        const active = before.find(({ state }) => state === 'active')!;
        if ('wait' in one) life.now += one.wait;
        if ('ask' in one) life.replace = active.authority.id;
        if ('taint' in one)
          life.slots = before.filter(({ state }) => state !== (one.taint === 'active' ? 'active' : 'published'));
        // The keys that a plan made are stored; its states are not.
        if ('crash' in one) life.plan();
        const plan = life.plan();
        check(plan, before, life);
        life.take(plan);
        const again = life.plan();
        assert.deepEqual(again.slots, plan.slots, 'a plan changes nothing more at the same time');
        assert.deepEqual(again.gone, []);
      }
    }),
    { numRuns: 1_000 },
  );
});

function check(plan: JwtPlan, before: readonly JwtSlot[], { now, slots }: Life): void {
  const states = plan.slots.map(({ state }) => state);
  assert.equal(states.filter((state) => state === 'active').length, 1);
  assert.equal(states.filter((state) => state === 'published').length, 1);
  assert.ok(!states.includes('prepared') && !states.includes('tainted'));
  assert.ok(now < plan.active.authority.notAfter && now < plan.next.authority.notAfter);
  assert.ok(plan.lookAt > now);
  const former = before.find(({ authority }) => authority === plan.active.authority);
  if (former?.state === 'published' && !plan.isUrgent) {
    assert.ok(now - former.since >= terms.publishBefore, 'a key signed too soon');
  }
  for (const { authority, state } of slots) {
    const hasTokens = (state === 'active' || state === 'retired') && now < authority.notAfter + TOKEN_LEEWAY_MS;
    if (hasTokens)
      assert.ok(
        plan.slots.some((slot) => slot.authority === authority),
        'a key went before its tokens',
      );
  }
}

test('each key is published for a third of its life, signs for a third, and stays for a third', () => {
  const life = new Life();
  const log: string[] = [];
  for (let i = 0; i < 4; i += 1) {
    const plan = life.plan();
    const keys = plan.slots.map(({ authority, state }) => `${authority.id} ${state}`);
    log.push(`${Math.round((life.now - NOW) / HOUR)} h: ${keys.join(', ')}`);
    life.take(plan);
    life.now = plan.lookAt;
  }
  assert.deepEqual(log, [
    '0 h: key 1 active, key 2 published',
    '8 h: key 1 retired, key 2 active, key 3 published',
    '16 h: key 1 retired, key 2 retired, key 3 active, key 4 published',
    '24 h: key 1 retired, key 2 retired, key 3 retired, key 4 active, key 5 published',
  ]);
});

test('after a long pause, the key that was published signs on while the next one is published', () => {
  const life = new Life();
  life.take(life.plan());
  life.now += 20 * HOUR;
  const late = life.plan();
  life.take(late);
  assert.deepEqual(
    late.slots.map(({ authority, state }) => [authority.id, state]),
    [
      ['key 1', 'active'],
      ['key 3', 'published'],
    ],
  );
  assert.equal(late.nextSignsAt, life.now + terms.publishBefore);
  assert.equal(late.lookAt, late.nextSignsAt);
});
