/** The ledger against a real join, with a scripted wire. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Ledger } from '../../src/delivery/ledger.ts';
import type { StreamEvent } from '../../src/delivery/stream-event.ts';
import { type SecretReport, STALE_MS, type StreamReport } from '../../src/delivery/stream-report.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { secretDiscoveryService } from '../../src/sds/service.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { Status, type StatusCode, type StreamHandler } from '../../src/wire/types.ts';
import {
  callOf,
  type Join,
  log,
  makeJoin,
  NO_METADATA,
  ScriptedPeer,
  TRUST_DOMAIN,
  until,
} from '../identity/support.ts';
import { bytesOf } from '../support/message.ts';
import { namesOf, rootsOf, secretOf } from '../support/sds-client.ts';

const WEB = 'spiffe://ilinux.io/web';
const BUNDLE = 'spiffe://ilinux.io';

function readDelta(bytes: Uint8Array) {
  const { nonce, systemVersionInfo: versionInfo } = DeltaDiscoveryResponse.decode(bytes);
  return { nonce, versionInfo };
}

class Asker {
  readonly peer: ScriptedPeer;
  readonly #handler: StreamHandler;
  readonly responses: Pick<DiscoveryResponse, 'nonce' | 'versionInfo'>[] = [];
  ended: { status: StatusCode; details: string } | undefined;
  #names: string[] = [];

  constructor(t: TestContext, { identities, clock }: Join, ledger: Ledger, peer: ScriptedPeer, variant: string) {
    this.peer = peer;
    const settings = { identities, trustDomain: TRUST_DOMAIN, clock, log, ledger, validation: 'spiffe' } as const;
    const method = secretDiscoveryService(settings).find(({ path }) => path.endsWith(`/${variant}`))!;
    assert.ok(method.kind === 'bidirectional');
    const read = variant.startsWith('Delta') ? readDelta : DiscoveryResponse.decode;
    this.#handler = method.open(
      {
        ...callOf(peer),
        send: (message) => this.responses.push(read(bytesOf(message))),
        end: (status, details) => {
          this.ended = { status, details };
          this.#handler.closed();
        },
      },
      NO_METADATA,
    );
    t.after(() => this.#handler.closed());
  }

  ask(...names: string[]): void {
    this.#names = names;
    this.#send({ node: { id: 'web-1', cluster: 'web', userAgentName: 'envoy' } });
  }

  ack(): void {
    this.#send({});
  }

  nack(message: string): void {
    this.#send({ errorDetail: { code: 13, message } });
  }

  #send(request: Parameters<typeof DiscoveryRequest.fromPartial>[0]): void {
    const responseNonce = this.responses.at(-1)?.nonce ?? '';
    const message = DiscoveryRequest.fromPartial({ resourceNames: this.#names, responseNonce, ...request });
    this.#handler.message(DiscoveryRequest.encode(message).finish());
  }

  subscribe(...resourceNamesSubscribe: string[]): void {
    const message = DeltaDiscoveryRequest.fromPartial({ resourceNamesSubscribe });
    this.#handler.message(DeltaDiscoveryRequest.encode(message).finish());
  }
}

interface World {
  readonly join: Join;
  readonly ledger: Ledger;
  proxy(variant?: string, peer?: ScriptedPeer): Asker;
  secret(name: string): SecretReport;
}

async function world(t: TestContext): Promise<World> {
  const join = await makeJoin(t);
  const ledger = new Ledger(createLog('silent'));
  return {
    join,
    ledger,
    proxy: (variant = 'StreamSecrets', peer = new ScriptedPeer('unix:uid:1', 'docker:env:TOKEN=s3cret')) =>
      new Asker(t, join, ledger, peer, variant),
    secret(name) {
      const reports = reportsOf(ledger, join).flatMap(({ secrets }) => [...secrets]);
      return reports.find((secret) => secret.name === name)!;
    },
  };
}

function reportsOf(ledger: Ledger, { clock }: Join): StreamReport[] {
  return [...ledger.connections()].flatMap(({ streams }) =>
    Array.from(streams, (stream) => stream.report(clock.now())),
  );
}

describe('the ledger', () => {
  it('shows the caller and its facts, but no environment values', async (t) => {
    const { ledger, proxy, join } = await world(t);
    const one = proxy();
    one.ask(WEB);
    await until(() => join.identities.caller(one.peer).attested);
    const [connection] = ledger.connections();
    assert.equal(connection!.peer, one.peer);
    assert.deepEqual(connection!.selectors, ['docker:env:TOKEN=[redacted]', 'unix:uid:1']);
    const { id, cluster, version } = connection!.node!;
    assert.deepEqual({ id, cluster, version }, { id: 'web-1', cluster: 'web', version: '' });
    const [stream] = reportsOf(ledger, join);
    const { secrets, ...report } = stream!;
    assert.equal([...secrets].length, 1);
    assert.ok(report.id > 0);
    assert.deepEqual(report, { id: report.id, service: 'sds', variant: 'sotw', openedAt: join.clock.now() });
  });

  it('follows a secret from held to sent to in_sync, with serial, expiry and times', async (t) => {
    const { proxy, secret, join } = await world(t);
    const one = proxy();
    one.ask(WEB);
    assert.equal(secret(WEB).held!.reason, 'pending');
    await until(() => secret(WEB).held?.reason === 'no-entry');
    const since = join.clock.now();
    const { decision, ...reason } = secret(WEB).held!;
    assert.deepEqual(reason, { reason: 'no-entry', detail: `no entry gives ${WEB}`, since });
    assert.match(decision!, /^d-[0-9a-f]{12}$/);
    join.clock.advance(5_000);
    assert.equal(secret(WEB).held!.since, since);

    await join.create('/web', ['unix:uid:1']);
    await until(() => one.responses.length === 1);
    const sent = secret(WEB);
    const [serial] = await join.issued();
    const { state, held, sentAt, acked, version } = sent;
    assert.deepEqual(
      { state, held, sentAt, acked },
      { state: 'sent', held: undefined, sentAt: join.clock.now(), acked: undefined },
    );
    assert.equal(version, one.responses[0]!.versionInfo);
    assert.deepEqual([sent.serial, sent.spiffeId], [serial, WEB]);
    assert.equal(sent.notAfter! > join.clock.now(), true);

    join.clock.advance(1_000);
    one.ack();
    const { state: after, ackedAt, acked: ackedVersion } = secret(WEB);
    assert.deepEqual([after, ackedAt, ackedVersion], ['in_sync', join.clock.now(), version]);
  });

  it('shows a secret as stale when it was sent long ago and not answered', async (t) => {
    const { proxy, secret, join } = await world(t);
    await join.create('/web', ['unix:uid:1']);
    const one = proxy();
    one.ask(WEB);
    await until(() => one.responses.length === 1);
    join.clock.advance(STALE_MS - 1);
    assert.equal(secret(WEB).state, 'sent');
    join.clock.advance(1);
    assert.equal(secret(WEB).state, 'stale');
    one.ack();
    assert.equal(secret(WEB).state, 'in_sync');
  });

  it('keeps the text of a NACK until the next answer, beside the accepted version', async (t) => {
    const { proxy, secret, join } = await world(t);
    const entry = await join.create('/web', ['unix:uid:1']);
    const one = proxy();
    one.ask(WEB);
    await until(() => one.responses.length === 1);
    one.ack();
    const accepted = one.responses[0]!.versionInfo;
    await join.registry.update(entry.id, { dnsNames: ['web.ilinux.io'] });
    await until(() => one.responses.length === 2);
    one.nack('KEY_VALUES_MISMATCH');
    const { state, rejection, acked } = secret(WEB);
    const version = one.responses[1]!.versionInfo;
    assert.deepEqual(
      { state, rejection, acked },
      {
        state: 'rejected',
        rejection: { version, message: 'KEY_VALUES_MISMATCH', at: join.clock.now() },
        acked: accepted,
      },
    );
    join.clock.advance(1_000);
    await until(() => one.responses.length === 3);
    one.ack();
    assert.deepEqual([secret(WEB).state, secret(WEB).rejection], ['in_sync', undefined]);
  });

  it('shows a name as held when the proxy still has its secret but no longer may', async (t) => {
    const { proxy, secret, join } = await world(t);
    const entry = await join.create('/web', ['unix:uid:1']);
    const one = proxy();
    one.ask(WEB);
    await until(() => one.responses.length === 1);
    one.ack();
    await join.registry.delete(entry.id);
    await until(() => secret(WEB).state === 'held');
    assert.equal(secret(WEB).version, one.responses[0]!.versionInfo);
    assert.equal(secret(WEB).held!.reason, 'no-entry');
  });

  it('forgets a stream that has ended', async (t) => {
    const { ledger, proxy, join } = await world(t);
    const one = proxy();
    one.ask(WEB);
    one.peer.close();
    const other = proxy('DeltaSecrets');
    other.subscribe(WEB);
    assert.equal(reportsOf(ledger, join).length, 2);
    one.ask('\u0000'.repeat(2_049));
    assert.equal(one.ended?.status, Status.INVALID_ARGUMENT);
    assert.deepEqual(
      reportsOf(ledger, join).map(({ variant }) => variant),
      ['delta'],
    );
  });

  it('tells a watcher every event, in order', async (t) => {
    const { ledger, proxy, join } = await world(t);
    const events: StreamEvent[] = [];
    const stop = ledger.watch((event) => events.push(event));
    const one = proxy();
    one.ask(WEB);
    await until(() => events.length === 2);
    await join.create('/web', ['unix:uid:1']);
    await until(() => one.responses.length === 1);
    one.nack('no');
    stop();
    one.ack();
    assert.deepEqual(
      events.map(({ type, names, detail, node }) => [type, names, detail, node]),
      [
        ['stream_opened', [], undefined, undefined],
        ['held', [WEB], 'no-entry', 'web-1'],
        ['sent', [WEB], one.responses[0]!.versionInfo, 'web-1'],
        ['rejected', [WEB], 'no', 'web-1'],
      ],
    );
  });
});

describe('a NACK', () => {
  it('has every certificate of the connection reissued, with an increasing delay up to a limit', async (t) => {
    const { proxy, join } = await world(t);
    await join.create('/web', ['unix:uid:1']);
    const certificate = proxy();
    certificate.ask(WEB);
    await until(() => certificate.responses.length === 1);
    certificate.ack();
    const bundle = proxy('StreamSecrets', certificate.peer);
    bundle.ask(BUNDLE);
    await until(() => bundle.responses.length === 1);
    bundle.nack('wrongly blamed');
    const issued = t.mock.method(join.ca, 'issue');
    for (const [i, seconds] of [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].entries()) {
      join.clock.advance(seconds * 1_000 - 1);
      assert.equal(issued.mock.callCount(), i);
      join.clock.advance(1);
      await until(() => certificate.responses.length === i + 2);
      certificate.nack('wrongly blamed');
    }
    assert.equal(bundle.responses.length, 1, 'a bundle waits until a certificate is accepted');
  });

  it('has a bundle sent again in different bytes once a certificate is accepted', async (t) => {
    const { proxy, join } = await world(t);
    await join.create('/web', ['unix:uid:1']);
    const certificate = proxy();
    certificate.ask(WEB);
    await until(() => certificate.responses.length === 1);
    const bundle = proxy('StreamSecrets', certificate.peer);
    bundle.ask(BUNDLE);
    await until(() => bundle.responses.length === 1);
    bundle.nack('wrongly blamed');
    certificate.ack();
    await until(() => bundle.responses.length === 2);
    const [first, second] = bundle.responses.map((response) => secretOf(response as DiscoveryResponse, BUNDLE));
    assert.notDeepEqual(second, first);
    assert.deepEqual(rootsOf(second!).map(String), rootsOf(first!).map(String));
    bundle.ack();
    join.clock.advance(1_000);
    await until(() => certificate.responses.length === 2);
    certificate.ack();
    bundle.ask(BUNDLE, 'ROOTCA');
    await until(() => bundle.responses.length === 3);
    assert.deepEqual(
      namesOf(bundle.responses[2] as DiscoveryResponse),
      ['ROOTCA'],
      'an accepted bundle is not sent again',
    );
  });
});

describe('unknown names', () => {
  it('end the stream when one connection requests too many of them', async (t) => {
    const { proxy, join } = await world(t);
    await join.create('/web', ['unix:uid:1']);
    const one = proxy();
    one.ask(WEB, ...Array.from({ length: 1_000 }, (_, i) => `${i}.example.org`));
    await until(() => one.responses.length === 1);
    const other = proxy('DeltaSecrets', one.peer);
    other.subscribe('one-more.example.org');
    await until(() => other.ended !== undefined);
    assert.equal(other.ended!.status, Status.RESOURCE_EXHAUSTED);
    assert.match(other.ended!.details, /more than 1000 unknown names/);
    assert.equal(one.ended, undefined);
    const third = proxy('DeltaSecrets', new ScriptedPeer('unix:uid:1'));
    third.subscribe('one-more.example.org');
    await until(() => third.responses.length === 1);
  });
});
