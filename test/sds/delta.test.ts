import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { takeRequest } from '../../src/sds/delta.ts';
import { type Missing, Subscription, type Versioned } from '../../src/sds/subscription.ts';

const NOW = 1_000;
type Request = Parameters<typeof takeRequest>[1];

class Client {
  readonly subscription = new Subscription('n', true);

  request(request: Partial<Request>) {
    const nothing = { subscribe: [], unsubscribe: [], initialVersions: new Map(), responseNonce: '' };
    return takeRequest(this.subscription, { ...nothing, errorDetail: undefined, ...request }, NOW);
  }

  /** Looks at what is dirty: `there` has versions, of the rest some stand for nothing at all. */
  send(there: Record<string, string>, nothing: readonly string[] = []) {
    const names = this.subscription.takeDirty();
    const found: Versioned[] = [];
    const missing: Missing[] = [];
    for (const name of names) {
      const version = there[name];
      if (version === undefined) missing.push({ name, mayCome: !nothing.includes(name) });
      else found.push({ name, version });
    }
    const push = this.subscription.push(found, missing, NOW);
    return push && { names: push.resources.map(({ name }) => name), removed: push.removed, nonce: push.nonce };
  }

  change(name: string): void {
    this.subscription.markDirty(name);
  }
}

/** Has these names at version 1, and has said so. */
function served(...names: string[]): Client {
  const client = new Client();
  client.request({ subscribe: names });
  const sent = client.send(Object.fromEntries(names.map((name) => [name, '1'])))!;
  client.request({ responseNonce: sent.nonce });
  return client;
}

describe('an incremental subscription', () => {
  it('asks for what is subscribed to, request by request', () => {
    const client = new Client();
    assert.deepEqual(client.request({ subscribe: ['a', 'b'] }), { kind: 'request', added: ['a', 'b'], removed: [] });
    assert.deepEqual(client.send({ a: '1', b: '1' }), { names: ['a', 'b'], removed: [], nonce: 'n1' });
    const outcome = client.request({ subscribe: ['c'], unsubscribe: ['a'], responseNonce: 'n1' });
    assert.deepEqual(
      { ...outcome, answered: 'answered' in outcome && outcome.answered.map(({ name }) => name) },
      { kind: 'ack', answered: ['a', 'b'], added: ['c'], removed: ['a'] },
    );
    assert.deepEqual(client.send({ c: '1' })!.names, ['c']);
  });

  it('takes a nonce that is not the last one, or none, for no answer, and the names all the same', () => {
    const client = new Client();
    client.request({ subscribe: ['a'] });
    client.send({ a: '1' });
    for (const responseNonce of ['', 'n7', 'of-another-stream']) {
      const outcome = client.request({ subscribe: [`b${responseNonce}`], responseNonce });
      assert.deepEqual(outcome, { kind: 'request', added: [`b${responseNonce}`], removed: [] });
      assert.ok(client.subscription.inFlight);
    }
    assert.equal(client.request({ responseNonce: 'n1' }).kind, 'ack');
  });

  it('is rejected by error_detail alone', () => {
    const client = new Client();
    client.request({ subscribe: ['a'] });
    client.send({ a: '1' });
    assert.equal(client.request({ responseNonce: 'n1', errorDetail: { message: 'no' } }).kind, 'nack');
    assert.deepEqual(client.subscription.get('a')!.rejection, { version: '1', message: 'no', at: NOW });
    client.change('a');
    assert.equal(client.send({ a: '1' }), undefined, 'the same is not sent again');
    client.change('a');
    assert.deepEqual(client.send({ a: '2' })!.names, ['a']);
    client.request({ responseNonce: 'n2' });
    assert.equal(client.subscription.get('a')!.rejection, undefined);
  });

  it('tells that a name that was sent is gone, once, and sends it when it is there again', () => {
    const client = served('a', 'b');
    client.change('a');
    const gone = client.send({})!;
    assert.deepEqual([gone.names, gone.removed], [[], ['a']]);
    client.request({ responseNonce: gone.nonce });
    client.change('a');
    assert.equal(client.send({}), undefined);
    client.change('a');
    assert.deepEqual(client.send({ a: '1' })!.names, ['a']);
  });

  it('says nothing of a name that may come, and at once that another stands for nothing', () => {
    const client = new Client();
    client.request({ subscribe: ['may-come', 'nothing'] });
    assert.deepEqual(client.send({}, ['nothing'])!.removed, ['nothing']);
    client.request({ responseNonce: 'n1', subscribe: ['nothing'] });
    assert.deepEqual(client.send({}, ['nothing'])!.removed, ['nothing'], 'to who asks again too');
  });

  it('sends a name again to who subscribes to it again: he may have forgotten it', () => {
    const client = served('a');
    assert.deepEqual(client.request({ subscribe: ['a'] }), { kind: 'request', added: [], removed: [] });
    assert.deepEqual(client.send({ a: '1' })!.names, ['a']);
  });

  it('spares a client what it says to have, and tells it what of that is gone', () => {
    const client = new Client();
    const initialVersions = new Map([
      ['same', '1'],
      ['other', '1'],
      ['gone', '1'],
      ['not-asked-for', '1'],
    ]);
    client.request({ subscribe: ['same', 'other', 'gone', 'new'], initialVersions });
    const sent = client.send({ same: '1', other: '2', new: '1' })!;
    assert.deepEqual([sent.names, sent.removed], [['other', 'new'], ['gone']]);
    assert.equal(client.subscription.get('same')!.acked, '1');
  });

  it('has a version of its own for what a client says to have', () => {
    const client = new Client();
    client.request({
      subscribe: ['not-issued', 'nothing'],
      initialVersions: new Map([['not-issued', 'é'.repeat(200)]]),
    });
    client.subscription.takeDirty();
    const push = client.subscription.push([], [{ name: 'nothing', mayCome: false }], NOW)!;
    assert.match(push.versionInfo, /^[0-9a-f]{16}$/);
  });

  it('takes what a client has from its first request alone', () => {
    const client = new Client();
    client.request({ subscribe: ['a'] });
    client.request({ subscribe: ['b'], initialVersions: new Map([['b', '1']]) });
    assert.deepEqual(client.send({ a: '1', b: '1' })!.names, ['a', 'b']);
  });

  it('takes no names at first for everything, and names beside it for more', () => {
    const client = new Client();
    const initialVersions = new Map(['left', 'a'].map((name) => [name, '1']));
    client.request({ initialVersions });
    assert.equal(client.subscription.wildcard, true);
    assert.deepEqual(client.subscription.setWildcardNames(['a', 'b'], NOW), { added: ['a', 'b'], removed: [] });
    const first = client.send({ a: '1', b: '1' })!;
    assert.deepEqual([first.names, first.removed], [['b'], ['left']]);
    client.request({ responseNonce: first.nonce, subscribe: ['c'] });
    assert.equal(client.subscription.wildcard, true);
    client.subscription.setWildcardNames(['a'], NOW);
    const second = client.send({ c: '1' })!;
    assert.deepEqual([second.names, second.removed], [['c'], ['b']]);
  });

  it('ends the wildcard by its name alone, and keeps what is asked for beside it', () => {
    const client = new Client();
    client.request({ subscribe: ['*', 'a'] });
    client.subscription.setWildcardNames(['b'], NOW);
    client.request({ responseNonce: client.send({ a: '1', b: '1' })!.nonce });
    assert.deepEqual(client.request({ unsubscribe: ['*'] }), { kind: 'request', added: [], removed: ['b'] });
    assert.equal(client.subscription.wildcard, false);
    assert.deepEqual(
      Array.from(client.subscription.asked, ({ name }) => name),
      ['a'],
    );
  });

  it('sends a name that is dropped beside the wildcard again, or tells that it is no part of that', () => {
    const client = new Client();
    client.request({ subscribe: ['*', 'part', 'apart'] });
    client.subscription.setWildcardNames(['part'], NOW);
    client.request({ responseNonce: client.send({ part: '1', apart: '1' })!.nonce });
    client.request({ unsubscribe: ['part', 'apart'] });
    const sent = client.send({ part: '1' })!;
    assert.deepEqual([sent.names, sent.removed], [['part'], ['apart']]);
  });

  it('is not asked for a name that one request both subscribes to and drops', () => {
    const client = new Client();
    const outcome = client.request({ subscribe: ['a', 'b'], unsubscribe: ['a'] });
    assert.deepEqual(outcome, { kind: 'request', added: ['b'], removed: ['a'] });
    assert.deepEqual(client.send({ a: '1', b: '1' })!.names, ['b']);
  });

  it('keeps nothing of names that come and go while the client answers nothing', async () => {
    const client = new Client();
    client.request({ subscribe: ['sent'] });
    client.send({ sent: '1' });
    const dropped = Array.from({ length: 5_000 }, (_, i) => {
      client.request({ subscribe: [`n${i}`] });
      const asked = new WeakRef(client.subscription.get(`n${i}`)!);
      client.request({ unsubscribe: [`n${i}`] });
      return asked;
    });
    await new Promise((resolve) => setImmediate(resolve));
    setFlagsFromString('--expose-gc');
    (runInNewContext('gc') as () => void)();
    const left = dropped.filter((reference) => reference.deref() !== undefined).length;
    assert.ok(left <= 200, `${left} names are still held`);
    assert.equal(client.subscription.canPush, false);
  });

  it('counts names that it could not tell yet to be gone as names that it keeps', () => {
    const client = new Client();
    client.request({ subscribe: ['*', 'sent'] });
    client.send({ sent: '1' });
    for (const name of ['a', 'b', 'c']) {
      client.request({ subscribe: [name] });
      client.request({ unsubscribe: [name] });
    }
    assert.equal(client.subscription.size, 4);
    client.request({ responseNonce: client.subscription.nonce });
    assert.deepEqual(client.send({})!.removed, ['a', 'b', 'c']);
    assert.equal(client.subscription.size, 1);
  });
});
