import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { takeRequest } from '../../src/sds/sotw.ts';
import { type RequestOutcome, Subscription, type Versioned } from '../../src/sds/subscription.ts';

const NOW = 1_000;
const make = () => new Subscription('n', false);

/** The kind of a request, with the names that it answers. */
function ask(subscription: Subscription, names: readonly string[], nonce = '', rejected?: string) {
  const errorDetail = rejected === undefined ? undefined : { message: rejected };
  return shown(takeRequest(subscription, { resourceNames: names, responseNonce: nonce, errorDetail }, NOW));
}

function shown(outcome: RequestOutcome) {
  return 'answered' in outcome ? { ...outcome, answered: outcome.answered.map(({ name }) => name) } : outcome;
}

const at = (version: string, ...names: string[]): Versioned[] => names.map((name) => ({ name, version }));
const send = (subscription: Subscription, found: readonly Versioned[]) => subscription.push(found, [], NOW);
const namesOf = (subscription: Subscription) => Array.from(subscription.asked, ({ name }) => name);

/** Requests names and sends version 1 of each. */
function served(...names: string[]): { subscription: Subscription; nonce: string } {
  const subscription = make();
  ask(subscription, names);
  return { subscription, nonce: send(subscription, at('1', ...subscription.takeDirty()))!.nonce };
}

describe('a state-of-the-world subscription', () => {
  it('looks up all requested names at once and sends the found ones in one response', () => {
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

  it('sends the available secrets and omits the held ones', () => {
    const subscription = make();
    ask(subscription, ['a', 'held']);
    subscription.takeDirty();
    assert.deepEqual(send(subscription, at('1', 'a'))!.resources, at('1', 'a'));
    ask(subscription, ['a', 'held'], 'n1');
    subscription.markDirty('held');
    assert.deepEqual(subscription.takeDirty(), ['held']);
    assert.deepEqual(send(subscription, at('7', 'held'))!.resources, at('7', 'held'));
  });

  it('sends nothing while all names are held, and accepts a next request without a nonce', () => {
    const subscription = make();
    ask(subscription, ['a']);
    subscription.takeDirty();
    assert.equal(send(subscription, []), undefined);
    assert.equal(ask(subscription, ['a', 'b']).kind, 'request');
    assert.deepEqual(subscription.takeDirty(), ['b']);
  });

  it('treats a request with the last nonce as an ACK, and with error_detail as a NACK', () => {
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

  it('treats an old version with an empty nonce on a new stream as a request, not as an ACK', () => {
    const subscription = make();
    assert.equal(ask(subscription, ['a'], 'of-another-stream').kind, 'request');
    assert.deepEqual(subscription.takeDirty(), ['a']);
  });

  it('ignores a request with a stale nonce, with its names', () => {
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

  it('keeps one response in flight and then sends the latest versions', () => {
    const { subscription, nonce } = served('a');
    subscription.markDirty('a');
    assert.equal(subscription.canPush, false);
    assert.deepEqual(subscription.takeDirty(), []);
    ask(subscription, ['a'], nonce);
    assert.deepEqual(subscription.takeDirty(), ['a']);
    assert.deepEqual(send(subscription, at('3', 'a'))!.resources, at('3', 'a'));
  });

  it('does not send the same content again after an ACK or a NACK', () => {
    for (const rejected of [undefined, 'bad']) {
      const { subscription, nonce } = served('a');
      ask(subscription, ['a'], nonce, rejected);
      subscription.markDirty('a');
      assert.deepEqual(subscription.takeDirty(), ['a']);
      assert.equal(send(subscription, at('1', 'a')), undefined);
    }
  });

  it('sends the same content again for a name that was dropped and requested again', () => {
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

  it('omits names that changed again or were dropped during the lookup', () => {
    const subscription = make();
    ask(subscription, ['a', 'b', 'c']);
    subscription.takeDirty();
    ask(subscription, ['a', 'b']);
    subscription.markDirty('b');
    assert.deepEqual(send(subscription, at('1', 'a', 'b', 'c'))!.resources, at('1', 'a'));
  });

  it('treats a first request without names as the wildcard, as long as requests stay empty', () => {
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

  it('treats no names after names as requesting nothing', () => {
    const { subscription, nonce } = served('a');
    const outcome = ask(subscription, [], nonce);
    assert.equal(subscription.wildcard, false);
    assert.deepEqual(outcome, { kind: 'ack', answered: ['a'], added: [], removed: ['a'] });
    subscription.markDirty('a');
    assert.deepEqual(subscription.takeDirty(), []);
  });

  it('ends an implicit wildcard when names are requested', () => {
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

  it('keeps explicit names beside the wildcard, and ends the wildcard when * is left out', () => {
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

  it('uses the version of a single secret as version_info, and a hash for several', () => {
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
