import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { takeRequest } from '../../src/sds/sotw.ts';
import { type Outcome, Subscription, type Versioned } from '../../src/sds/subscription.ts';

const NOW = 1_000;
const make = () => new Subscription('n', false);

/** What a request means, with the names of what it answers. */
function ask(subscription: Subscription, names: readonly string[], nonce = '', rejected?: string) {
  const errorDetail = rejected === undefined ? undefined : { message: rejected };
  return shown(takeRequest(subscription, { resourceNames: names, responseNonce: nonce, errorDetail }, NOW));
}

function shown(outcome: Outcome) {
  return 'answered' in outcome ? { ...outcome, answered: outcome.answered.map(({ name }) => name) } : outcome;
}

const at = (version: string, ...names: string[]): Versioned[] => names.map((name) => ({ name, version }));
const send = (subscription: Subscription, found: readonly Versioned[]) => subscription.push(found, [], NOW);
const namesOf = (subscription: Subscription) => Array.from(subscription.asked, ({ name }) => name);

/** Asks for names and is sent version 1 of each. */
function served(...names: string[]): { subscription: Subscription; nonce: string } {
  const subscription = make();
  ask(subscription, names);
  return { subscription, nonce: send(subscription, at('1', ...subscription.takeDirty()))!.nonce };
}

describe('a state-of-the-world subscription', () => {
  it('looks at every asked name at once and sends what was found in one response', () => {
    const subscription = make();
    assert.deepEqual(ask(subscription, ['a', 'b', 'a']), {
      kind: 'request',
      added: ['a', 'b'],
      removed: [],
    });
    assert.deepEqual(subscription.takeDirty(), ['a', 'b']);
    const push = send(subscription, at('1', 'a', 'b'))!;
    assert.deepEqual(push.resources, at('1', 'a', 'b'));
    assert.equal(push.nonce, 'n1');
  });

  it('sends what is there and leaves what is held out', () => {
    const subscription = make();
    ask(subscription, ['a', 'held']);
    subscription.takeDirty();
    assert.deepEqual(send(subscription, at('1', 'a'))!.resources, at('1', 'a'));
    ask(subscription, ['a', 'held'], 'n1');
    subscription.markDirty('held');
    assert.deepEqual(subscription.takeDirty(), ['held']);
    assert.deepEqual(send(subscription, at('7', 'held'))!.resources, at('7', 'held'));
  });

  it('sends nothing when all is held, and still takes the next request for one without a nonce', () => {
    const subscription = make();
    ask(subscription, ['a']);
    subscription.takeDirty();
    assert.equal(send(subscription, []), undefined);
    assert.equal(ask(subscription, ['a', 'b']).kind, 'request');
    assert.deepEqual(subscription.takeDirty(), ['b']);
  });

  it('takes a request with the last nonce for an ACK, and with error_detail for a NACK', () => {
    const acked = served('a');
    assert.deepEqual(ask(acked.subscription, ['a'], acked.nonce), {
      kind: 'ack',
      answered: ['a'],
      added: [],
      removed: [],
    });
    const nacked = served('a');
    assert.equal(ask(nacked.subscription, ['a'], nacked.nonce, 'no').kind, 'nack');
  });

  it('takes an old version with an empty nonce on a new stream for a request, not for an ACK', () => {
    const subscription = make();
    assert.equal(ask(subscription, ['a'], 'of-another-stream').kind, 'request');
    assert.deepEqual(subscription.takeDirty(), ['a']);
  });

  it('ignores a stale nonce, names and all', () => {
    const { subscription, nonce } = served('a');
    ask(subscription, ['a'], nonce);
    subscription.markDirty('a');
    subscription.takeDirty();
    const second = send(subscription, at('2', 'a'))!;
    assert.deepEqual(ask(subscription, ['b'], nonce), { kind: 'stale' });
    assert.deepEqual(ask(subscription, ['b'], ''), { kind: 'stale' });
    assert.deepEqual(namesOf(subscription), ['a']);
    assert.equal(ask(subscription, ['a'], second.nonce).kind, 'ack');
  });

  it('keeps one response in flight and then sends the latest', () => {
    const { subscription, nonce } = served('a');
    subscription.markDirty('a');
    assert.equal(subscription.canPush, false);
    assert.deepEqual(subscription.takeDirty(), []);
    ask(subscription, ['a'], nonce);
    assert.deepEqual(subscription.takeDirty(), ['a']);
    assert.deepEqual(send(subscription, at('3', 'a'))!.resources, at('3', 'a'));
  });

  it('does not send the same content again, ACKed or rejected', () => {
    for (const rejected of [undefined, 'bad']) {
      const { subscription, nonce } = served('a');
      ask(subscription, ['a'], nonce, rejected);
      subscription.markDirty('a');
      assert.deepEqual(subscription.takeDirty(), ['a']);
      assert.equal(send(subscription, at('1', 'a')), undefined);
    }
  });

  it('sends the same content again to a name that was dropped and asked for again', () => {
    const { subscription, nonce } = served('a', 'b');
    assert.deepEqual(ask(subscription, ['b'], nonce), {
      kind: 'ack',
      answered: ['a', 'b'],
      added: [],
      removed: ['a'],
    });
    const again = ask(subscription, ['a', 'b'], nonce);
    assert.deepEqual(again, { kind: 'request', added: ['a'], removed: [] });
    assert.deepEqual(send(subscription, at('1', ...subscription.takeDirty()))!.resources, at('1', 'a'));
  });

  it('leaves out what changed again or was dropped while it was looked for', () => {
    const subscription = make();
    ask(subscription, ['a', 'b', 'c']);
    subscription.takeDirty();
    ask(subscription, ['a', 'b']);
    subscription.markDirty('b');
    assert.deepEqual(send(subscription, at('1', 'a', 'b', 'c'))!.resources, at('1', 'a'));
  });

  it('takes no names at first for everything, and goes on so when they stay empty', () => {
    const subscription = make();
    ask(subscription, []);
    assert.equal(subscription.wildcard, true);
    assert.deepEqual(subscription.setWildcardNames(['a', 'b'], NOW), { added: ['a', 'b'], removed: [] });
    const push = send(subscription, at('1', ...subscription.takeDirty()))!;
    assert.equal(ask(subscription, [], push.nonce).kind, 'ack');
    assert.equal(subscription.wildcard, true);
    assert.deepEqual(subscription.setWildcardNames(['b', 'c'], NOW), { added: ['c'], removed: ['a'] });
    assert.deepEqual(subscription.takeDirty(), ['c']);
  });

  it('takes no names after names for an unsubscribe from all', () => {
    const { subscription, nonce } = served('a');
    const outcome = ask(subscription, [], nonce);
    assert.equal(subscription.wildcard, false);
    assert.deepEqual(outcome, { kind: 'ack', answered: ['a'], added: [], removed: ['a'] });
    subscription.markDirty('a');
    assert.deepEqual(subscription.takeDirty(), []);
  });

  it('takes names after the wildcard for just those', () => {
    const subscription = make();
    ask(subscription, []);
    subscription.setWildcardNames(['a', 'b'], NOW);
    const push = send(subscription, at('1', ...subscription.takeDirty()))!;
    assert.deepEqual(ask(subscription, ['b'], push.nonce), {
      kind: 'ack',
      answered: ['a', 'b'],
      added: [],
      removed: ['a'],
    });
    assert.equal(subscription.wildcard, false);
  });

  it('keeps names that stand beside the wildcard asked for, and ends it when * is left out', () => {
    const subscription = make();
    assert.deepEqual(ask(subscription, ['*', 'default']), {
      kind: 'request',
      added: ['default'],
      removed: [],
    });
    subscription.setWildcardNames(['a'], NOW);
    const push = send(subscription, at('1', ...subscription.takeDirty()))!;
    assert.deepEqual(push.resources, at('1', 'default', 'a'));
    assert.deepEqual(subscription.setWildcardNames([], NOW), { added: [], removed: ['a'] });
    assert.deepEqual(namesOf(subscription), ['default']);
    const outcome = ask(subscription, [], push.nonce);
    assert.equal(subscription.wildcard, false);
    assert.deepEqual(outcome, { kind: 'ack', answered: ['default', 'a'], added: [], removed: ['default'] });
  });

  it('gives a single secret its own version, and several one that changes with any of them', () => {
    const one = make();
    ask(one, ['a']);
    assert.equal(send(one, at('abc', ...one.takeDirty()))!.versionInfo, 'abc');
    const versionOf = (a: string, b: string) => {
      const two = make();
      ask(two, ['a', 'b']);
      two.takeDirty();
      return send(two, [...at(a, 'a'), ...at(b, 'b')])!.versionInfo;
    };
    assert.equal(versionOf('1', '2'), versionOf('1', '2'));
    assert.notEqual(versionOf('1', '2'), versionOf('1', '3'));
    assert.notEqual(versionOf('1', '2'), versionOf('2', '1'));
  });
});
