/**
 * Random requests, changes and answers against the subscription, in both variants, compared with a simple model of a
 * client: a client that answers every response ends with exactly the secrets that it should have.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as delta from '../../src/sds/delta.ts';
import * as sotw from '../../src/sds/sotw.ts';
import { type Push, Subscription, type Versioned } from '../../src/sds/subscription.ts';

const NAMES = ['a', 'b', 'c', 'd'] as const;
/** The state of a name in the world: a version, `held`, or `unknown`. */
type Truth = number | 'held' | 'unknown';

const names = fc.uniqueArray(fc.constantFrom(...NAMES));
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('ask' as const), more: names, less: names, all: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      name: fc.constantFrom(...NAMES),
      to: fc.constantFrom('next' as const, 'held' as const, 'unknown' as const),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('answer' as const), rejects: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reconnect' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stale' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** A server with a world of names, and one client that requests, answers, and keeps what it accepts. */
abstract class Run {
  protected subscription = this.connect();
  protected readonly truth = new Map<string, Truth>(NAMES.map((name) => [name, 1]));
  /** The client: its names, whether it uses the wildcard, and the secrets that it has. */
  protected readonly named = new Set<string>();
  protected all = false;
  protected readonly holds = new Map<string, string>();
  /** Names that must be sent although the client has them. */
  protected readonly again = new Set<string>();
  protected pending: Push<Versioned> | undefined;
  protected nonce = '';

  protected abstract connect(): Subscription;
  /** Sends the requested names as the first request of a stream. */
  protected abstract open(): void;
  protected abstract ask(more: readonly string[], less: readonly string[], all: boolean): void;
  protected abstract answer(rejection: string | undefined): void;
  protected abstract stale(): void;
  protected abstract check(): void;

  run(steps: readonly Step[]): void {
    this.named.add('a');
    this.open();
    this.#pump();
    for (const one of steps) this.#step(one);
    while (this.pending !== undefined) this.#answer(false);
    this.check();
  }

  #step(one: Step): void {
    // A dropped name is sent again when it is requested again, by name or through the wildcard.
    if (one.kind === 'ask') {
      for (const name of this.all && !one.all ? NAMES : one.less) this.again.add(name);
      this.ask(one.more, one.less, one.all);
    }
    if (one.kind === 'change') this.#change(one.name, one.to);
    else if (one.kind === 'answer') this.#answer(one.rejects);
    else if (one.kind === 'stale') this.stale();
    else if (one.kind === 'reconnect') {
      this.subscription = this.connect();
      this.pending = undefined;
      this.nonce = '';
      this.again.clear();
      this.open();
    }
    this.#pump();
  }

  #change(name: string, to: 'next' | 'held' | 'unknown'): void {
    this.truth.set(name, to === 'next' ? this.#nextVersion() : to);
    this.subscription.markDirty(name);
  }

  #version = 1;
  #nextVersion(): number {
    this.#version += 1;
    return this.#version;
  }

  #answer(wants: boolean): void {
    const { pending } = this;
    if (pending === undefined) return;
    this.pending = undefined;
    // There is no reason to reject a removal.
    const rejects = wants && pending.removed.length === 0;
    if (!rejects) this.#accept(pending);
    this.answer(rejects ? 'no' : undefined);
    // A rejected secret gets a new version, since the same one would not be sent again.
    if (rejects) for (const { name } of pending.resources) if (this.truth.has(name)) this.#remake(name);
    this.#pump();
  }

  #remake(name: string): void {
    if (typeof this.truth.get(name) === 'number') this.#change(name, 'next');
  }

  #accept({ resources, removed }: Push<Versioned>): void {
    for (const { name, version } of resources) if (this.wants(name)) this.holds.set(name, version);
    for (const name of removed) this.holds.delete(name);
  }

  protected wants(name: string): boolean {
    return this.all || this.named.has(name);
  }

  #pump(): void {
    if (this.subscription.wildcard) {
      const there = NAMES.filter((name) => typeof this.truth.get(name) === 'number');
      this.subscription.setWildcardNames(there, 0);
    }
    if (!this.subscription.canPush) return;
    const found: Versioned[] = [];
    const missing: { name: string; mayCome: boolean }[] = [];
    for (const name of this.subscription.takeDirty()) {
      const truth = this.truth.get(name)!;
      if (typeof truth === 'number') found.push({ name, version: `${truth}` });
      else missing.push({ name, mayCome: truth === 'held' });
    }
    const push = this.subscription.push(found, missing, 0);
    if (push === undefined) return;
    assert.equal(this.pending, undefined, 'one response is in flight');
    assert.notEqual(push.nonce, this.nonce);
    for (const { name, version } of push.resources) {
      assert.ok(this.wants(name), `${name} is not requested`);
      assert.ok(this.holds.get(name) !== version || this.again.delete(name), `${name} is sent twice`);
    }
    this.pending = push;
    this.nonce = push.nonce;
  }
}

class SotwRun extends Run {
  protected connect() {
    return new Subscription('n', false);
  }

  /** A client that reconnects gets everything that it may have. */
  protected open(): void {
    for (const name of this.holds.keys()) this.again.add(name);
    this.#send('');
  }

  protected ask(more: readonly string[], less: readonly string[], all: boolean): void {
    for (const name of more) this.named.add(name);
    for (const name of less) this.named.delete(name);
    this.all = all;
    // A response that arrives after its name was dropped is answered, but not kept.
    for (const name of [...this.holds.keys()]) if (!this.wants(name)) this.holds.delete(name);
    const { pending } = this;
    if (pending !== undefined) {
      this.pending = undefined;
      for (const { name, version } of pending.resources) if (this.wants(name)) this.holds.set(name, version);
    }
    this.#send(this.nonce);
  }

  protected answer(rejection: string | undefined): void {
    this.#send(this.nonce, rejection);
  }

  protected stale(): void {
    const before = Array.from(this.subscription.asked, ({ name }) => name);
    const request = { resourceNames: ['x'], responseNonce: 'another', errorDetail: undefined };
    assert.equal(sotw.takeRequest(this.subscription, request, 0).kind, 'stale');
    assert.deepEqual(
      Array.from(this.subscription.asked, ({ name }) => name),
      before,
    );
  }

  /** State of the world has no removals: the client may keep what it had. */
  protected check(): void {
    for (const name of NAMES) {
      const truth = this.truth.get(name);
      if (!this.wants(name)) assert.equal(this.holds.get(name), undefined);
      else if (typeof truth === 'number') assert.equal(this.holds.get(name), `${truth}`, `the latest of ${name}`);
    }
  }

  #send(responseNonce: string, rejection?: string): void {
    const resourceNames = this.all ? ['*', ...this.named] : [...this.named];
    // In a first request, no names would mean the wildcard.
    if (resourceNames.length === 0 && responseNonce === '') resourceNames.push('other');
    const errorDetail = rejection === undefined ? undefined : { message: rejection };
    sotw.takeRequest(this.subscription, { resourceNames, responseNonce, errorDetail }, 0);
  }
}

class DeltaRun extends Run {
  protected connect() {
    return new Subscription('n', true);
  }

  protected open(): void {
    const subscribe = this.all ? ['*', ...this.named] : [...this.named];
    if (subscribe.length === 0) subscribe.push('other');
    this.#send({ subscribe, initialVersions: new Map(this.holds) });
  }

  protected ask(more: readonly string[], less: readonly string[], all: boolean): void {
    const dropped = less.filter((name) => !more.includes(name));
    for (const name of more) if (this.wants(name)) this.again.add(name);
    for (const name of more) this.named.add(name);
    for (const name of dropped) this.named.delete(name);
    const subscribe = all && !this.all ? ['*', ...more] : more;
    const unsubscribe = this.all && !all ? ['*', ...dropped] : dropped;
    this.all = all;
    this.#send({ subscribe, unsubscribe });
    for (const name of [...this.holds.keys()]) if (!this.wants(name)) this.holds.delete(name);
  }

  protected answer(rejection: string | undefined): void {
    const errorDetail = rejection === undefined ? undefined : { message: rejection };
    this.#send({ responseNonce: this.nonce, errorDetail });
  }

  /** An old nonce answers nothing, and does nothing else. */
  protected stale(): void {
    assert.equal(this.#send({ responseNonce: 'another' }).kind, 'request');
  }

  protected check(): void {
    for (const name of NAMES) {
      const truth = this.truth.get(name);
      const expected = this.wants(name) && typeof truth === 'number' ? `${truth}` : undefined;
      assert.equal(this.holds.get(name), expected, `what the client has of ${name}`);
    }
  }

  #send(request: Partial<Parameters<typeof delta.takeRequest>[1]>) {
    const nothing = { subscribe: [], unsubscribe: [], initialVersions: new Map(), responseNonce: '' };
    return delta.takeRequest(this.subscription, { ...nothing, errorDetail: undefined, ...request }, 0);
  }
}

describe('a client that answers every response ends with the secrets that it should have', () => {
  for (const [variant, make] of [
    ['state of the world', () => new SotwRun()],
    ['delta', () => new DeltaRun()],
  ] as const) {
    it(variant, () => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 50 }), (steps) => make().run(steps)),
        { numRuns: 2_000 },
      );
    });
  }
});
