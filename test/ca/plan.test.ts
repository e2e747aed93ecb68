/** The state machine of the authorities by itself: random lives, and what always holds. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isValidAt } from '../../src/base/validity.ts';
import {
  type Authority,
  isUnder,
  makeIntermediate,
  makeRoot,
  upstreamIntermediate,
  upstreamRoot,
} from '../../src/ca/authority.ts';
import { type Plan, plan, type Situation, type Slots } from '../../src/ca/plan.ts';
import { isTrusted, moved, type Slot } from '../../src/ca/slot.ts';
import { DAY, HOUR, MINUTE, SECOND, TRUST_DOMAIN, YEAR } from './support.ts';

const NOW = Date.UTC(2026, 5, 1);
const request = (now: number) => ({ trustDomain: TRUST_DOMAIN, subject: [], now });
const terms = {
  ...{ rootLife: 20 * DAY, intermediateLife: DAY, publishTime: DAY, ackTimeout: DAY, onLagging: 'wait' as const },
};

const upstreams = await Promise.all([1, 2].map(() => makeRoot(request(NOW), YEAR)));

/** An intermediate that the upstream's first or second root signed. */
async function minted(which: number, now: number): Promise<Authority> {
  const { certificate, privateKey } = await makeIntermediate(request(now), upstreams[which]!, DAY);
  return upstreamIntermediate([certificate], privateKey!);
}

const prepared = (authority: Authority, now: number): Slot => ({ authority, state: 'prepared', since: now });

type Step =
  | { readonly wait: number }
  | { readonly ask: 'root' | 'intermediate' }
  | { readonly taint: number }
  | { readonly answer: number }
  | { readonly lag: boolean }
  | { readonly restart: true }
  | { readonly revoke: boolean };

const steps = (source: Situation['source']): fc.Arbitrary<Step> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ wait: fc.constantFrom(0, 20, SECOND, MINUTE, HOUR, 6 * HOUR, DAY, 5 * DAY) }) },
    { weight: 1, arbitrary: fc.record({ wait: fc.constantFrom(-DAY, 40 * DAY) }) },
    fc.record({
      ask: source === 'self' ? fc.constantFrom('root', 'intermediate') : fc.constant('intermediate'),
    }) as fc.Arbitrary<Step>,
    fc.record({ taint: fc.nat(5) }),
    ...(source === 'self' ? [] : [{ weight: 3, arbitrary: fc.record({ answer: fc.nat(1) }) }]),
    fc.record({ lag: fc.boolean() }),
    fc.constant({ restart: true as const }),
    ...(source === 'self' ? [fc.record({ revoke: fc.boolean() })] : []),
  );

class Life {
  slots: Slots = { roots: [], intermediates: [] };
  now = NOW;
  startedAt = NOW;
  isLagging = false;
  /** Whether certificates are revoked. */
  isListing = false;
  /** The IDs of the authorities whose revocation lists are in the bundle. */
  #listed: ReadonlySet<string> = new Set();
  readonly source: Situation['source'];
  readonly #asked = new Set<'root' | 'intermediate'>();

  constructor(source: Situation['source']) {
    this.source = source;
  }

  async step(step: Step): Promise<void> {
    if ('wait' in step) this.now += step.wait;
    if ('lag' in step) this.isLagging = step.lag;
    if ('restart' in step) this.startedAt = this.now;
    if ('revoke' in step) this.isListing = step.revoke;
    if ('ask' in step) this.#asked.add(step.ask);
    if ('answer' in step) {
      const root = upstreamRoot(upstreams[step.answer]!.certificate);
      const known = this.slots.roots.some(({ authority }) => authority.id === root.id);
      if (!known) this.slots = { ...this.slots, roots: [...this.slots.roots, prepared(root, this.now)] };
      const intermediate = prepared(await minted(step.answer, this.now), this.now);
      this.slots = { ...this.slots, intermediates: [...this.slots.intermediates, intermediate] };
    }
    if ('taint' in step) this.#taint(step.taint);
    // After a taint nothing else has to be asked for; two more plans show that it comes to rest.
    for (let i = 0; i < 3; i += 1) await this.#plan();
    this.#asked.clear();
  }

  #taint(index: number): void {
    const slot = this.slots.roots[index % Math.max(this.slots.roots.length, 1)];
    if (slot === undefined || slot.state === 'prepared') return;
    const taint = (one: Slot) => moved(one, 'tainted', this.now);
    this.slots = {
      roots: this.slots.roots.map((one) => (one === slot ? taint(one) : one)),
      intermediates: this.slots.intermediates.map((one) => (isUnder(one.authority, slot.authority) ? taint(one) : one)),
    };
  }

  async #plan(): Promise<void> {
    const before = this.slots;
    for (;;) {
      const next = plan(this.slots, {
        ...{ now: this.now, startedAt: this.startedAt, terms, asked: this.#asked, source: this.source, rootLimit: 8 },
        isBundleLagging: () => this.isLagging,
        isReissueLagging: () => this.isLagging,
        isListed: this.isListing ? ({ id }) => this.#listed.has(id) : undefined,
      });
      if (next.need === undefined) {
        this.#check(before, next);
        this.#checkLists(before, next);
        this.slots = next;
        this.#listed = this.isListing ? this.#toList(next) : new Set();
        return;
      }
      assert.ok(this.source === 'self' || next.need === 'intermediate');
      const made =
        next.need === 'root'
          ? await makeRoot(request(this.now), terms.rootLife)
          : await makeIntermediate(request(this.now), next.under, terms.intermediateLife);
      const { roots, intermediates } = this.slots;
      if (next.need === 'root') this.slots = { roots: [...roots, prepared(made, this.now)], intermediates };
      else this.slots = { roots, intermediates: [...intermediates, prepared(made, this.now)] };
    }
  }

  /** The next intermediate is ready, so that its list is in the bundle before it is needed. */
  assertSpare(): void {
    const root = this.slots.roots.find(({ state }) => state === 'active');
    const spares = this.slots.intermediates.filter(({ state }) => state === 'prepared');
    assert.ok(root === undefined || spares.some(({ authority }) => isUnder(authority, root.authority)), 'no spare');
    assert.ok(spares.length <= 4, `${spares.length} spares`);
  }

  #toList({ roots, intermediates }: Slots): ReadonlySet<string> {
    const trusted = roots.filter((slot) => isTrusted(slot, this.now)).map(({ authority }) => authority);
    const below = intermediates.filter(({ authority }) => trusted.some((root) => isUnder(authority, root)));
    return new Set([...trusted, ...below.map(({ authority }) => authority)].map(({ id }) => id));
  }

  /** While certificates are revoked, proxies that have the lists before a plan accept the SVIDs after it. */
  #checkLists(before: Slots, { roots, intermediate: signer, root }: Plan): void {
    if (!this.isListing || this.#listed.size === 0 || signer === undefined || root === undefined) return;
    const spare = this.#toList({ roots, intermediates: [] });
    assert.ok(spare.has(root.authority.id));
    const others = before.intermediates.filter(({ authority, state }) => {
      const isUsed = state === 'active' || state === 'retired';
      return isUsed && isValidAt(authority, this.now) && isUnder(authority, root.authority);
    });
    const listed = before.intermediates.some(({ authority, state }) => {
      const isSpare = state === 'prepared' && this.#listed.has(authority.id);
      return isSpare && isValidAt(authority, this.now) && isUnder(authority, root.authority);
    });
    if (listed) assert.ok(this.#listed.has(signer.authority.id), 'one that is not listed signs, although one is');
    const quarter = ({ authority: { notBefore, notAfter } }: Slot) => notAfter - (notAfter - notBefore) / 4;
    if (others.length === 0 || others.some((slot) => this.now >= quarter(slot))) return;
    assert.ok(this.#listed.has(signer.authority.id), 'its list was not published before it signs');
  }

  #check(before: Slots, next: Plan): void {
    const { now } = this;
    const count = (slots: readonly Slot[]) => slots.filter(({ state }) => state === 'active').length;
    assert.ok(count(next.roots) <= 1 && count(next.intermediates) <= 1, 'more than one is active');
    assert.ok(next.lookAt > now || next.next?.slot.since === now, 'it looks again at once');
    const { intermediate: signer } = next;
    if (signer !== undefined) {
      assert.ok(isValidAt(signer.authority, now) && signer.state === 'active');
      const above = next.roots.filter(({ authority }) => isUnder(signer.authority, authority));
      assert.ok(
        above.some((root) => isTrusted(root, now) && root.state !== 'tainted'),
        'no peer trusts the signer',
      );
      const hadTrusted = before.roots.some(({ authority, state }) => state !== 'prepared' && isValidAt(authority, now));
      const wasPublished = above.some(({ authority }) => {
        return before.roots.some((root) => root.authority === authority && root.state !== 'prepared');
      });
      assert.ok(!hadTrusted || wasPublished, 'it signs under a root that was not published before');
    } else assert.ok(this.source === 'upstream' || next.roots.some(({ state }) => state === 'tainted'), 'nobody signs');
    for (const { authority, state } of next.gone) {
      if (authority.role !== 'root' || state === 'tainted' || state === 'prepared') continue;
      const below = next.intermediates.filter((slot) => isUnder(slot.authority, authority));
      assert.ok(
        below.every((slot) => next.roots.some((root) => isUnder(slot.authority, root.authority))),
        'a root is gone before what it signed',
      );
    }
  }
}

for (const source of ['self', 'upstream'] as const) {
  test(`whatever happens, SVIDs are signed under trusted roots alone (${source})`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(steps(source), { maxLength: 40 }), async (life) => {
        const authorities = new Life(source);
        await authorities.step({ wait: 0 });
        for (const step of life) await authorities.step(step);
        if (authorities.isListing && authorities.source === 'self') authorities.assertSpare();
        // In the end, with proxies that answer, nothing is tainted any more, and somebody signs.
        authorities.isLagging = false;
        if (source === 'upstream') await authorities.step({ answer: 0 });
        for (let i = 0; i < 4; i += 1) await authorities.step({ wait: 10 * SECOND });
        const all = [...authorities.slots.roots, ...authorities.slots.intermediates];
        if (source === 'self') assert.ok(!all.some(({ state }) => state === 'tainted'));
        if (source === 'self') assert.equal(all.filter(({ state }) => state === 'active').length, 2);
      }),
      { numRuns: 60 },
    );
  });
}

test('the roots of another source are not published any more, and those that sign go on until there is another', async () => {
  const life = new Life('self');
  await life.step({ wait: 0 });
  await life.step({ ask: 'root' });
  const states = (slots: Slots) =>
    slots.roots.map(({ state, authority }) => `${state} ${authority.privateKey ? 'own' : 'other'}`);
  assert.deepEqual(states(life.slots), ['active own', 'published own']);
  const next = new Life('upstream');
  next.slots = life.slots;
  await next.step({ wait: HOUR });
  assert.deepEqual(states(next.slots), ['active own']);
  await next.step({ answer: 0 });
  assert.deepEqual(states(next.slots), ['active own', 'published other']);
  // What the upstream signed for the first time has aged until its root may sign.
  await next.step({ wait: DAY - HOUR });
  await next.step({ answer: 0 });
  await next.step({ wait: HOUR });
  assert.deepEqual(states(next.slots), ['retired own', 'active other']);
  assert.equal(
    next.slots.intermediates
      .find(({ state }) => state === 'active')!
      .authority.certificate.verify(upstreams[0]!.publicKey),
    true,
  );
  const back = new Life('self');
  back.slots = next.slots;
  back.now = next.now;
  await back.step({ wait: 0 });
  assert.deepEqual(states(back.slots), ['retired own', 'active other', 'published own']);
  await back.step({ wait: DAY });
  assert.ok(states(back.slots).includes('active own'));
});
