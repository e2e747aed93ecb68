/**
 * Fuzzes `src/sds/subscription.ts`: any requests, changes and pushes, in any order; what must always hold is checked
 * after each, and that a client that then behaves ends with the latest of all that it asks for.
 */

import assert from 'node:assert/strict';
import { takeRequest } from '../../src/sds/sotw.ts';
import { Subscription, type Versioned } from '../../src/sds/subscription.ts';
import { Random } from './random.ts';
import { Broken, type Target } from './target.ts';

export const fuzzCore: Target = async (seed, goOn) => {
  const begin = performance.now();
  let input = 0;
  let steps = 0;
  for (; goOn(input); input += 1) {
    const run = new Run(Random.of(seed, input));
    try {
      run.all();
    } catch (error) {
      throw new Broken('subscription', seed, input, run.trace.join('; '), error);
    }
    steps += run.trace.length;
  }
  return { inputs: input, seconds: (performance.now() - begin) / 1_000, notes: [`${steps} steps`] };
};

const NAMES = ['a', 'b', 'c', 'd', 'e'];

class Run {
  readonly trace: string[] = [];
  readonly #random: Random;
  readonly #subscription = new Subscription('p.', false);
  /** The version that each name has now; held where undefined. */
  readonly #truth = new Map<string, number | undefined>();
  /** What the client was sent of the names that it asked for ever since. */
  readonly #sent = new Map<string, string>();
  readonly #nonces = new Set<string>();
  #explicit: ReadonlySet<string> = new Set();
  #lastNonce = '';
  #begun = false;
  #inFlight = false;
  /** Names that were taken to be looked at and not sent yet. */
  #taken: string[] | undefined;
  readonly #changedSince = new Set<string>();

  constructor(random: Random) {
    this.#random = random;
    for (const name of NAMES) this.#truth.set(name, random.chance(0.7) ? 0 : undefined);
  }

  all(): void {
    for (let left = 4 + this.#random.below(28); left > 0; left -= 1) this.#step();
    this.#settle();
  }

  #step(): void {
    const kind = this.#random.below(10);
    if (kind < 3) this.#request(this.#anyNames(), this.#anyNonce());
    else if (kind < 5) this.#change();
    else if (kind < 7) this.#take();
    else if (kind < 9) this.#push();
    else if (this.#subscription.wildcard) this.#setWildcard();
  }

  #names(): Set<string> {
    return new Set(Array.from(this.#subscription.asked, ({ name }) => name));
  }

  #anyNames(): string[] {
    const names = this.#random.some(NAMES);
    return this.#random.chance(0.1) ? [...names, '*'] : this.#random.chance(0.2) ? [...names, ...names] : names;
  }

  #anyNonce(): string {
    return this.#random.pick([this.#lastNonce, this.#lastNonce, this.#lastNonce, '', 'p.1', 'p.2', 'elsewhere']);
  }

  #request(resourceNames: string[], responseNonce: string): void {
    const errorDetail = this.#random.chance(0.2) ? { message: 'no' } : undefined;
    this.trace.push(`request ${resourceNames} (${responseNonce})${errorDetail === undefined ? '' : ' rejects'}`);
    const before = this.#names();
    const outcome = takeRequest(this.#subscription, { resourceNames, responseNonce, errorDetail }, 0);
    const names = this.#names();
    if (this.#begun && responseNonce !== this.#lastNonce) {
      assert.deepEqual(outcome, { kind: 'stale' });
      assert.deepEqual(names, before, 'a stale request changes nothing');
      return;
    }
    assert.ok(outcome.kind !== 'stale');
    const answers = this.#begun && this.#inFlight;
    assert.equal(outcome.kind, answers ? (errorDetail === undefined ? 'ack' : 'nack') : 'request');
    this.#begun = true;
    this.#inFlight = false;
    this.#changed(before, names, outcome);
    this.#explicit = new Set(resourceNames.filter((name) => name !== '*'));
    if (this.#subscription.wildcard)
      assert.deepEqual(without(this.#explicit, names), new Set(), 'names beside the wildcard are asked for');
    else assert.deepEqual(names, this.#explicit, 'asked for is what it asked for');
  }

  #setWildcard(): void {
    const now = this.#random.some(NAMES);
    this.trace.push(`everything is ${now}`);
    const before = this.#names();
    const change = this.#subscription.setWildcardNames(now, 0);
    const names = this.#names();
    assert.deepEqual(names, new Set([...this.#explicit, ...now]));
    this.#changed(before, names, change);
  }

  #changed(
    before: ReadonlySet<string>,
    now: ReadonlySet<string>,
    told: { readonly added: readonly string[]; readonly removed: readonly string[] },
  ): void {
    assert.deepEqual(new Set(told.added), without(now, before));
    assert.deepEqual(new Set(told.removed), without(before, now));
    for (const name of told.removed) this.#sent.delete(name);
  }

  #change(): void {
    const name = this.#random.pick(NAMES);
    const version = this.#random.chance(0.2) ? undefined : (this.#truth.get(name) ?? 0) + this.#random.below(2);
    this.trace.push(`${name} is ${version ?? 'held'}`);
    this.#truth.set(name, version);
    this.#changedSince.add(name);
    this.#subscription.markDirty(name);
  }

  #take(): void {
    if (this.#taken !== undefined) return; // the stream looks for one set of names at a time
    const names = this.#subscription.takeDirty();
    this.trace.push(`take ${names}`);
    assert.ok(!this.#inFlight || names.length === 0, 'nothing is looked at while an answer is awaited');
    for (const name of names) assert.ok(this.#subscription.get(name) !== undefined);
    assert.equal(this.#subscription.canPush, false);
    if (names.length === 0) return;
    this.#taken = names;
    this.#changedSince.clear();
  }

  #push(): void {
    if (this.#taken === undefined) return;
    const found = this.#taken.flatMap((name): Versioned[] => {
      const version = this.#truth.get(name);
      return version === undefined ? [] : [{ name, version: `${version}` }];
    });
    this.#taken = undefined;
    const push = this.#subscription.push(found, [], 0);
    this.trace.push(`push ${push?.resources.map(({ name, version }) => name + version)}`);
    if (push === undefined) return;
    assert.equal(this.#inFlight, false, 'one response in flight');
    assert.ok(!this.#nonces.has(push.nonce), 'no nonce twice');
    assert.ok(push.resources.length > 0);
    for (const { name, version } of push.resources) {
      assert.ok(this.#subscription.get(name) !== undefined, 'only what is asked for is sent');
      assert.ok(!this.#changedSince.has(name), 'what changed since it was looked at is looked at again first');
      assert.notEqual(this.#sent.get(name), version, 'nothing is sent twice');
      this.#sent.set(name, version);
    }
    this.#nonces.add(push.nonce);
    this.#lastNonce = push.nonce;
    this.#inFlight = true;
  }

  /** The client behaves from now on: it answers what comes and asks for all names. */
  #settle(): void {
    for (let rounds = 0; rounds < 4; rounds += 1) {
      this.#request([...NAMES], this.#lastNonce);
      this.#push();
      this.#take();
      this.#push();
    }
    for (const [name, version] of this.#truth) {
      if (version !== undefined) assert.equal(this.#sent.get(name), `${version}`, `the latest of ${name}`);
    }
  }
}

function without(some: ReadonlySet<string>, others: ReadonlySet<string>): Set<string> {
  return new Set([...some].filter((one) => !others.has(one)));
}
