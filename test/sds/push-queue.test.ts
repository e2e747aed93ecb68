/** The queue of streams that wait to push, and what becomes of what clients say meanwhile. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Peer } from '../../src/attest/types.ts';
import { DiscoveryRequest, DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { PushQueue } from '../../src/sds/push-queue.ts';
import { secretDiscoveryService } from '../../src/sds/service.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { Status, type StatusCode, type StreamHandler } from '../../src/wire/types.ts';
import { log, makeJoin, ScriptedPeer, TRUST_DOMAIN, until } from '../identity/support.ts';
import { makeCertificate } from '../support/certificates.ts';
import { bytesOf } from '../support/message.ts';

const OTHER = parseTrustDomain('other.example');
const BUNDLE = `spiffe://${OTHER}`;
const WEB = 'spiffe://ilinux.io/web';

const peerOf = (id: string) => ({ id }) as unknown as Peer;

describe('the queue of pushes', () => {
  /** A stream that notes what it does, and spends some milliseconds on it. */
  function stream(queue: PushQueue, done: string[], name: string, peer = peerOf(name), milliseconds = 0) {
    const note = (what: string) => () => {
      done.push(`${name} ${what}`);
      for (const end = performance.now() + milliseconds; performance.now() < end; );
    };
    return queue.place({ peer, push: note('pushes'), catchUp: note('catches up') });
  }

  it('lets the streams of one connection push one after the other, each once', async () => {
    const [done, queue, a, b] = [[] as string[], new PushQueue(), peerOf('a'), peerOf('b')];
    const streams = [stream(queue, done, 'a1', a), stream(queue, done, 'b1', b), stream(queue, done, 'a2', a)];
    for (const one of [...streams, ...streams]) queue.add(one);
    assert.ok(queue.busy);
    await until(() => !queue.busy);
    assert.deepEqual(done, ['a1 pushes', 'a2 pushes', 'b1 pushes']);
  });

  it('gives way to the event loop between its slices, and goes on after it', async () => {
    const [done, queue] = [[] as string[], new PushQueue()];
    for (let i = 0; i < 5; i += 1) queue.add(stream(queue, done, `${i}`, peerOf(`${i}`), 5));
    await turn();
    await turn();
    assert.ok(done.length > 0 && done.length < 5, `${done.length} of 5 in the first slices`);
    await until(() => done.length === 5);
  });

  it('lets streams catch up when all have pushed, in the order in which they were asked to', async () => {
    const [done, queue] = [[] as string[], new PushQueue()];
    const [a, b, c] = ['a', 'b', 'c'].map((name) => stream(queue, done, name, peerOf(name), 6));
    for (const one of [a!, b!, c!]) queue.add(one);
    queue.catchUpLater(b!);
    queue.catchUpLater(a!);
    await until(() => done.length === 5);
    assert.deepEqual(done, ['a pushes', 'b pushes', 'c pushes', 'b catches up', 'a catches up']);
  });

  it('lets a stream catch up once, however much its client says meanwhile', async () => {
    const [done, queue] = [[] as string[], new PushQueue()];
    const [a, b] = ['a', 'b'].map((name) => stream(queue, done, name));
    queue.add(a!);
    for (const one of [a!, b!, a!, b!]) queue.catchUpLater(one);
    await until(() => !queue.busy);
    assert.deepEqual(done, ['a pushes', 'a catches up', 'b catches up']);
  });

  it('lets a stream catch up after a while though streams always wait to push', async () => {
    const [done, queue] = [[] as string[], new PushQueue()];
    const a = stream(queue, done, 'a', peerOf('a'), 5);
    const restless = queue.place({
      peer: peerOf('b'),
      push: () => done.includes('a catches up') || queue.add(restless),
      catchUp: () => undefined,
    });
    queue.add(restless);
    queue.catchUpLater(a);
    await until(() => done.length > 0);
    assert.deepEqual(done, ['a catches up']);
    await until(() => !queue.busy);
  });

  it('forgets a stream that is gone', async () => {
    const [done, queue, peer] = [[] as string[], new PushQueue(), peerOf('one')];
    const [a, b] = ['a', 'b'].map((name) => stream(queue, done, name, peer));
    queue.add(a!);
    queue.add(b!);
    queue.catchUpLater(a!);
    queue.remove(a!);
    await until(() => !queue.busy);
    assert.deepEqual(done, ['b pushes']);
    queue.add(b!);
    queue.remove(b!);
    assert.ok(!queue.busy);
  });

  it('lets a stream that asks again at once push after those of other connections', async () => {
    const [done, queue] = [[] as string[], new PushQueue()];
    let times = 0;
    const again = queue.place({
      peer: peerOf('a'),
      push() {
        done.push('a pushes');
        times += 1;
        if (times < 3) queue.add(again);
      },
      catchUp: () => undefined,
    });
    queue.add(again);
    queue.add(stream(queue, done, 'b'));
    await until(() => !queue.busy);
    assert.deepEqual(done, ['a pushes', 'b pushes', 'a pushes', 'a pushes']);
  });
});

describe('what a client says while others wait to be pushed to', () => {
  /** Streams of one service that have the bundle, each of a connection of its own. */
  async function open(t: TestContext, count: number, answer: (client: Client) => void) {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:1'], { federates_with: [OTHER] });
    const setBundle = async () => {
      const { der } = await makeCertificate();
      await join.registry.federatedBundles.set(OTHER, {
        ...{ authorities: [der], sequenceNumber: undefined, refreshHint: undefined },
      });
    };
    await setBundle();
    const counters = new Counters();
    const { identities, clock } = join;
    const settings = { identities, trustDomain: TRUST_DOMAIN, clock, log, counters, validation: 'spiffe' } as const;
    const method = secretDiscoveryService(settings).find(({ kind }) => kind === 'stream')!;
    assert.ok(method.kind === 'stream');
    const clients = await Promise.all(
      Array.from({ length: count }, async (_, number) => {
        const client: Client = { number, responses: [], acksBefore: [], ended: undefined } as unknown as Client;
        const handler = method.open({
          peer: new ScriptedPeer('unix:uid:1'),
          send(message) {
            client.responses.push(DiscoveryResponse.decode(bytesOf(message)));
            client.acksBefore.push(counters.get('acks_total'));
            answer(client);
          },
          end(status) {
            client.ended = status;
            handler.closed();
          },
        });
        t.after(() => handler.closed());
        client.handler = handler;
        client.say = (names, more = {}) => {
          const responseNonce = client.responses.at(-1)?.nonce ?? '';
          const request = DiscoveryRequest.fromPartial({ resourceNames: [...names], responseNonce, ...more });
          const bytes = DiscoveryRequest.encode(request).finish();
          handler.message(bytes);
          // Another message gets their place.
          bytes.fill(0xff);
        };
        client.say([BUNDLE]);
        await until(() => client.responses.length === 1);
        return client;
      }),
    );
    return { identities, setBundle, clients, counters };
  }

  interface Client {
    readonly number: number;
    readonly responses: DiscoveryResponse[];
    /** How many ACKs were counted when each response came. */
    readonly acksBefore: number[];
    ended: StatusCode | undefined;
    handler: StreamHandler;
    say(names: readonly string[], more?: Partial<DiscoveryRequest>): void;
  }

  it('is taken once all have their secret', async (t) => {
    const { setBundle, clients, counters } = await open(t, 5, (client) => client.say([BUNDLE]));
    await until(() => counters.get('acks_total') === 5);
    await setBundle();
    await until(() => counters.get('acks_total') === 10);
    assert.deepEqual(
      clients.map(({ acksBefore }) => acksBefore[1]),
      [5, 5, 5, 5, 5],
    );
  });

  it('is taken in order, and before an end', async (t) => {
    const errorDetail = { code: 13, message: 'no such key', details: [] };
    const { setBundle, clients, counters } = await open(t, 3, (client) => {
      const isFirst = client.number === 0;
      client.say([BUNDLE], client.responses.length === 2 && !isFirst ? { errorDetail } : {});
      if (client.responses.length !== 2) return;
      if (isFirst) client.handler.halfClose();
      else client.say([BUNDLE, WEB]);
    });
    await until(() => counters.get('acks_total') === 3);
    await setBundle();
    // One ACK of who ends; of the others one of the certificate, and one of the bundle, which is then sent once more.
    await until(() => counters.get('acks_total') === 3 + 1 + 2 * 2);
    assert.deepEqual(
      clients.map(({ ended }) => ended),
      [Status.OK, undefined, undefined],
    );
    assert.equal(counters.get('nacks_total'), 2);
  });

  it('is not kept where it is long', async (t) => {
    const { setBundle, clients, counters } = await open(t, 5, (client) => {
      client.say([BUNDLE], { node: { id: 'x'.repeat(2_000), cluster: '' } as DiscoveryRequest['node'] });
    });
    await until(() => counters.get('acks_total') === 5);
    await setBundle();
    await until(() => counters.get('acks_total') === 10);
    assert.deepEqual(
      clients.map(({ acksBefore }) => acksBefore[1]),
      [5, 6, 7, 8, 9],
    );
  });

  it('ends its own stream alone where it breaks a rule', async (t) => {
    const { setBundle, clients, counters } = await open(t, 3, (client) => {
      if (client.responses.length === 2 && client.number === 0)
        client.say([BUNDLE], { typeUrl: 'type.googleapis.com/other' });
      else client.say([BUNDLE]);
    });
    await setBundle();
    await until(() => counters.get('requests_invalid_total') === 1);
    await until(() => clients.every(({ responses }) => responses.length >= 2));
    assert.deepEqual(
      clients.map(({ ended }) => ended),
      [Status.INVALID_ARGUMENT, undefined, undefined],
    );
  });

  it('ends its own stream alone where Sidekey fails at it', async (t) => {
    const { identities, setBundle, clients } = await open(t, 3, (client) => {
      client.say(client.responses.length === 2 && client.number === 0 ? [BUNDLE, 'spiffe://broken.example'] : [BUNDLE]);
    });
    const watchBundle = identities.watchBundle.bind(identities);
    t.mock.method(identities, 'watchBundle', (...args: Parameters<typeof watchBundle>) => {
      if (args[0] !== OTHER) throw new Error('broken');
      return watchBundle(...args);
    });
    await setBundle();
    await until(() => clients.every(({ responses }) => responses.length === 2));
    await until(() => clients.some(({ ended }) => ended !== undefined));
    assert.deepEqual(
      clients.map(({ ended }) => ended),
      [Status.INTERNAL, undefined, undefined],
    );
  });
});
