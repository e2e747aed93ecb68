import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Subscription, type SubscriptionRequest, type Versioned } from '../../src/sds/subscription.ts';

const request = (names: readonly string[], nonce = '', rejected?: string): SubscriptionRequest => ({
  resourceNames: names,
  responseNonce: nonce,
  errorDetail: rejected === undefined ? undefined : { message: rejected },
});
const at = (version: string, ...names: string[]): Versioned[] => names.map((name) => ({ name, version }));

/** Asks for names and is sent version 1 of each. */
function served(...names: string[]): { subscription: Subscription; nonce: string } {
  const subscription = new Subscription('n');
  subscription.request(request(names));
  const push = subscription.push(at('1', ...subscription.takeDirty()));
  return { subscription, nonce: push!.nonce };
}

describe('a state-of-the-world subscription', () => {
  it('looks at every asked name at once and sends what was found in one response', () => {
    const subscription = new Subscription('n');
    assert.deepEqual(subscription.request(request(['a', 'b', 'a'])), {
      kind: 'request',
      answered: [],
      added: ['a', 'b'],
      removed: [],
    });
    assert.deepEqual(subscription.takeDirty(), ['a', 'b']);
    const push = subscription.push(at('1', 'a', 'b'))!;
    assert.deepEqual(push.resources, at('1', 'a', 'b'));
    assert.equal(push.nonce, 'n1');
  });

  it('sends what is there and leaves what is held out', () => {
    const subscription = new Subscription('n');
    subscription.request(request(['a', 'held']));
    subscription.takeDirty();
    assert.deepEqual(subscription.push(at('1', 'a'))!.resources, at('1', 'a'));
    subscription.request(request(['a', 'held'], 'n1'));
    subscription.markDirty('held');
    assert.deepEqual(subscription.takeDirty(), ['held']);
    assert.deepEqual(subscription.push(at('7', 'held'))!.resources, at('7', 'held'));
  });

  it('sends nothing when all is held, and still takes the next request for one without a nonce', () => {
    const subscription = new Subscription('n');
    subscription.request(request(['a']));
    subscription.takeDirty();
    assert.equal(subscription.push([]), undefined);
    assert.equal(subscription.request(request(['a', 'b'])).kind, 'request');
    assert.deepEqual(subscription.takeDirty(), ['b']);
  });

  it('takes a request with the last nonce for an ACK, and with error_detail for a NACK', () => {
    const acked = served('a');
    assert.deepEqual(acked.subscription.request(request(['a'], acked.nonce)), {
      kind: 'ack',
      answered: ['a'],
      added: [],
      removed: [],
    });
    const nacked = served('a');
    assert.equal(nacked.subscription.request(request(['a'], nacked.nonce, 'no')).kind, 'nack');
  });

  it('takes an old version with an empty nonce on a new stream for a request, not for an ACK', () => {
    const subscription = new Subscription('n');
    assert.equal(subscription.request(request(['a'], 'of-another-stream')).kind, 'request');
    assert.deepEqual(subscription.takeDirty(), ['a']);
  });

  it('ignores a stale nonce, names and all', () => {
    const { subscription, nonce } = served('a');
    subscription.request(request(['a'], nonce));
    subscription.markDirty('a');
    subscription.takeDirty();
    const second = subscription.push(at('2', 'a'))!;
    assert.deepEqual(subscription.request(request(['b'], nonce)), { kind: 'stale' });
    assert.deepEqual(subscription.request(request(['b'], '')), { kind: 'stale' });
    assert.deepEqual([...subscription.names], ['a']);
    assert.equal(subscription.request(request(['a'], second.nonce)).kind, 'ack');
  });

  it('keeps one response in flight and then sends the latest', () => {
    const { subscription, nonce } = served('a');
    subscription.markDirty('a');
    assert.equal(subscription.canPush, false);
    assert.deepEqual(subscription.takeDirty(), []);
    subscription.request(request(['a'], nonce));
    assert.deepEqual(subscription.takeDirty(), ['a']);
    assert.deepEqual(subscription.push(at('3', 'a'))!.resources, at('3', 'a'));
  });

  it('does not send the same content again, ACKed or rejected', () => {
    for (const rejected of [undefined, 'bad']) {
      const { subscription, nonce } = served('a');
      subscription.request(request(['a'], nonce, rejected));
      subscription.markDirty('a');
      assert.deepEqual(subscription.takeDirty(), ['a']);
      assert.equal(subscription.push(at('1', 'a')), undefined);
    }
  });

  it('sends the same content again to a name that was dropped and asked for again', () => {
    const { subscription, nonce } = served('a', 'b');
    assert.deepEqual(subscription.request(request(['b'], nonce)), {
      kind: 'ack',
      answered: ['a', 'b'],
      added: [],
      removed: ['a'],
    });
    const again = subscription.request(request(['a', 'b'], nonce));
    assert.deepEqual(again, { kind: 'request', answered: [], added: ['a'], removed: [] });
    assert.deepEqual(subscription.push(at('1', ...subscription.takeDirty()))!.resources, at('1', 'a'));
  });

  it('leaves out what changed again or was dropped while it was looked for', () => {
    const subscription = new Subscription('n');
    subscription.request(request(['a', 'b', 'c']));
    subscription.takeDirty();
    subscription.request(request(['a', 'b']));
    subscription.markDirty('b');
    assert.deepEqual(subscription.push(at('1', 'a', 'b', 'c'))!.resources, at('1', 'a'));
  });

  it('takes no names at first for everything, and goes on so when they stay empty', () => {
    const subscription = new Subscription('n');
    subscription.request(request([]));
    assert.equal(subscription.wildcard, true);
    assert.deepEqual(subscription.setWildcardNames(['a', 'b']), { added: ['a', 'b'], removed: [] });
    const push = subscription.push(at('1', ...subscription.takeDirty()))!;
    assert.equal(subscription.request(request([], push.nonce)).kind, 'ack');
    assert.equal(subscription.wildcard, true);
    assert.deepEqual(subscription.setWildcardNames(['b', 'c']), { added: ['c'], removed: ['a'] });
    assert.deepEqual(subscription.takeDirty(), ['c']);
  });

  it('takes no names after names for an unsubscribe from all', () => {
    const { subscription, nonce } = served('a');
    const outcome = subscription.request(request([], nonce));
    assert.equal(subscription.wildcard, false);
    assert.deepEqual(outcome, { kind: 'ack', answered: ['a'], added: [], removed: ['a'] });
    subscription.markDirty('a');
    assert.deepEqual(subscription.takeDirty(), []);
  });

  it('takes names after the wildcard for just those', () => {
    const subscription = new Subscription('n');
    subscription.request(request([]));
    subscription.setWildcardNames(['a', 'b']);
    const push = subscription.push(at('1', ...subscription.takeDirty()))!;
    assert.deepEqual(subscription.request(request(['b'], push.nonce)), {
      kind: 'ack',
      answered: ['a', 'b'],
      added: [],
      removed: ['a'],
    });
    assert.equal(subscription.wildcard, false);
  });

  it('keeps names that stand beside the wildcard asked for, and ends it when * is left out', () => {
    const subscription = new Subscription('n');
    assert.deepEqual(subscription.request(request(['*', 'default'])), {
      kind: 'request',
      answered: [],
      added: ['default'],
      removed: [],
    });
    subscription.setWildcardNames(['a']);
    const push = subscription.push(at('1', ...subscription.takeDirty()))!;
    assert.deepEqual(push.resources, at('1', 'default', 'a'));
    assert.deepEqual(subscription.setWildcardNames([]), { added: [], removed: ['a'] });
    assert.deepEqual([...subscription.names], ['default']);
    const outcome = subscription.request(request([], push.nonce));
    assert.equal(subscription.wildcard, false);
    assert.deepEqual(outcome, { kind: 'ack', answered: ['default', 'a'], added: [], removed: ['default'] });
  });

  it('gives a single secret its own version, and several one that changes with any of them', () => {
    const one = new Subscription('n');
    one.request(request(['a']));
    assert.equal(one.push(at('abc', ...one.takeDirty()))!.versionInfo, 'abc');
    const versionOf = (a: string, b: string) => {
      const two = new Subscription('n');
      two.request(request(['a', 'b']));
      two.takeDirty();
      return two.push([...at(a, 'a'), ...at(b, 'b')])!.versionInfo;
    };
    assert.equal(versionOf('1', '2'), versionOf('1', '2'));
    assert.notEqual(versionOf('1', '2'), versionOf('1', '3'));
    assert.notEqual(versionOf('1', '2'), versionOf('2', '1'));
  });

  it('leaves a client that answers everything with the latest of what it asks for, whatever happens between', () => {
    const names = ['a', 'b', 'c', 'd'];
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('ask' as const),
        names: fc.uniqueArray(fc.constantFrom(...names), { minLength: 1 }),
      }),
      fc.record({ kind: fc.constant('change' as const), name: fc.constantFrom(...names) }),
      fc.record({ kind: fc.constant('answer' as const), nack: fc.boolean() }),
      fc.record({ kind: fc.constant('stale' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const subscription = new Subscription('n');
        const truth = new Map(names.map((name) => [name, 0]));
        // The client: what it asks for, what it holds, which nonce it must answer.
        let asked: string[] = ['a'];
        const holds = new Map<string, string>();
        let nonce = '';
        let pending: string | undefined;
        const pump = () => {
          const found = subscription.takeDirty().map((name) => ({ name, version: `${truth.get(name)}` }));
          const push = subscription.push(found);
          if (push === undefined) return;
          assert.equal(pending, undefined, 'one response in flight');
          for (const { name, version } of push.resources) {
            assert.ok(asked.includes(name), 'only what is asked for is sent');
            assert.notEqual(holds.get(name), version, 'nothing is sent twice');
            holds.set(name, version);
          }
          pending = push.nonce;
          nonce = push.nonce;
        };
        const answer = (rejected?: string) => {
          pending = undefined;
          subscription.request(request(asked, nonce, rejected));
          for (const name of [...holds.keys()]) if (!asked.includes(name)) holds.delete(name);
          pump();
        };
        subscription.request(request(asked));
        pump();
        for (const one of steps) {
          if (one.kind === 'ask') {
            asked = one.names;
            answer();
          } else if (one.kind === 'change') {
            truth.set(one.name, truth.get(one.name)! + 1);
            subscription.markDirty(one.name);
            pump();
          } else if (one.kind === 'answer' && pending !== undefined) answer(one.nack ? 'no' : undefined);
          else if (one.kind === 'stale') assert.equal(subscription.request(request(['x'], 'stale')).kind, 'stale');
        }
        while (pending !== undefined) answer();
        assert.deepEqual(
          new Map(asked.map((name) => [name, holds.get(name)])),
          new Map(asked.map((name) => [name, `${truth.get(name)}`])),
        );
      }),
      { numRuns: 500 },
    );
  });
});
