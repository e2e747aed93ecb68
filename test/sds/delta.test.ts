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

  /** Looks up the dirty names: `there` has versions; of the others some are unknown names. */
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

/** The client has these names at version 1 and has acknowledged them. */
function served(...names: string[]): Client {
  const client = new Client();
  client.request({ subscribe: names });
  const sent = client.send(Object.fromEntries(names.map((name) => [name, '1'])))!;
  client.request({ responseNonce: sent.nonce });
  return client;
}

describe('an incremental subscription', () => {
  it('requests the names of every subscribe, request by request', () => {
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

  it('treats another nonce than the last, or none, as no answer, but applies the names', () => {
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

  it('treats a request as a NACK only if it has error_detail', () => {
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

  it('reports a sent name as removed once, and sends it when it exists again', () => {
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

  it('waits for a held name, and reports an unknown name as removed at once', () => {
    const client = new Client();
    client.request({ subscribe: ['may-come', 'nothing'] });
    assert.deepEqual(client.send({}, ['nothing'])!.removed, ['nothing']);
    client.request({ responseNonce: 'n1', subscribe: ['nothing'] });
    assert.deepEqual(client.send({}, ['nothing'])!.removed, ['nothing'], 'the same after another request');
  });

  it('sends a name again to a client that subscribes to it again, since it may have forgotten it', () => {
    const client = served('a');
    assert.deepEqual(client.request({ subscribe: ['a'] }), { kind: 'request', added: [], removed: [] });
    assert.deepEqual(client.send({ a: '1' })!.names, ['a']);
  });

  it('does not send the versions that a client claims, and reports the removed ones among them', () => {
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

  it('hashes claimed versions into version_info', () => {
    const client = new Client();
    client.request({
      subscribe: ['not-issued', 'nothing'],
      initialVersions: new Map([['not-issued', 'é'.repeat(200)]]),
    });
    client.subscription.takeDirty();
    const push = client.subscription.push([], [{ name: 'nothing', mayCome: false }], NOW)!;
    assert.match(push.versionInfo, /^[0-9a-f]{16}$/);
  });

  it('accepts claimed versions in the first request only', () => {
    const client = new Client();
    client.request({ subscribe: ['a'] });
    client.request({ subscribe: ['b'], initialVersions: new Map([['b', '1']]) });
    assert.deepEqual(client.send({ a: '1', b: '1' })!.names, ['a', 'b']);
  });

  it('treats a first request without names as the wildcard, and names beside it as additional', () => {
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

  it('ends the wildcard when * is unsubscribed, and keeps the explicit names', () => {
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

  it('sends a name that is dropped beside the wildcard again if the wildcard includes it, else reports it removed', () => {
    const client = new Client();
    client.request({ subscribe: ['*', 'part', 'apart'] });
    client.subscription.setWildcardNames(['part'], NOW);
    client.request({ responseNonce: client.send({ part: '1', apart: '1' })!.nonce });
    client.request({ unsubscribe: ['part', 'apart'] });
    const sent = client.send({ part: '1' })!;
    assert.deepEqual([sent.names, sent.removed], [['part'], ['apart']]);
  });

  it('ignores a name that one request both subscribes and unsubscribes', () => {
    const client = new Client();
    const outcome = client.request({ subscribe: ['a', 'b'], unsubscribe: ['a'] });
    assert.deepEqual(outcome, { kind: 'request', added: ['b'], removed: ['a'] });
    assert.deepEqual(client.send({ a: '1', b: '1' })!.names, ['b']);
  });

  it('keeps no memory of names that come and go while a response is in flight', async () => {
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
    assert.ok(left <= 200, `${left} names are still in memory`);
    assert.equal(client.subscription.canPush, false);
  });

  it('counts removed names that the client was not told of yet as kept names', () => {
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
