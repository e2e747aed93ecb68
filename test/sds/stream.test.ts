/** One stream against a real join with a scripted wire: its responses, and when it ends. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { SidekeyError } from '../../src/base/errors.ts';
import { DeliveryCounts } from '../../src/delivery/counts.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { ErrorInfo } from '../../src/gen/google/rpc/error_details.ts';
import { secretDiscoveryService } from '../../src/sds/service.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { Status, type StatusCode, type StatusDetail, type StreamConnection } from '../../src/wire/types.ts';
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
import { makeCertificate } from '../support/certificates.ts';
import { bytesOf } from '../support/message.ts';
import { namesOf } from '../support/sds-client.ts';

const WEB = 'spiffe://ilinux.io/web';
const BUNDLE = 'spiffe://ilinux.io';
const OTHER = parseTrustDomain('other.example');
const HALF_LIFE = 1_800_000;
/** In milliseconds. */
const LONGER_THAN_A_SLICE = 10;

interface Scripted {
  readonly connection: StreamConnection;
  readonly responses: DiscoveryResponse[];
  readonly counters: Counters;
  readonly counts: DeliveryCounts;
  ended: { status: StatusCode; message: string; details: readonly StatusDetail[] } | undefined;
  ask(...names: string[]): void;
  ack(): void;
}

/** Streams with the same parts share a push queue. */
function service({ identities, clock }: Join) {
  const counters = new Counters();
  const counts = new DeliveryCounts();
  const about = { trustDomain: TRUST_DOMAIN, validation: 'spiffe' } as const;
  const settings = { ...about, identities, clock, log, counters, counts };
  const method = secretDiscoveryService(settings).find(({ kind }) => kind === 'bidirectional')!;
  assert.ok(method.kind === 'bidirectional');
  return { method, counters, counts };
}

function holds(counts: DeliveryCounts): number {
  return counts.holds.entries().reduce((sum, [, number]) => sum + number, 0);
}

function open(t: TestContext, join: Join, peer: ScriptedPeer, { method, counters, counts } = service(join)): Scripted {
  const call = callOf(peer);
  const handler = method.open(
    {
      ...call,
      send: (message) => scripted.responses.push(DiscoveryResponse.decode(bytesOf(message))),
      end(status, message, details = []) {
        scripted.ended = { status, message, details };
        handler.closed();
      },
    },
    NO_METADATA,
  );
  t.after(() => handler.closed());
  const send = (request: Parameters<typeof DiscoveryRequest.fromPartial>[0]) =>
    handler.message(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(request)).finish());
  let asked: string[] = [];
  const scripted: Scripted = {
    connection: call.connection,
    responses: [],
    counters,
    counts,
    ended: undefined,
    ask(...names) {
      asked = names;
      send({ resourceNames: names, responseNonce: scripted.responses.at(-1)?.nonce ?? '' });
    },
    ack() {
      const { nonce: responseNonce, versionInfo } = scripted.responses.at(-1)!;
      send({ resourceNames: asked, responseNonce, versionInfo });
    },
  };
  return scripted;
}

/** A stream whose caller has its SVID and has acknowledged it. */
async function served(t: TestContext): Promise<{ join: Join; peer: ScriptedPeer; stream: Scripted }> {
  const join = await makeJoin(t);
  await join.create('/web', ['unix:uid:1']);
  const peer = new ScriptedPeer('unix:uid:1');
  const stream = open(t, join, peer);
  stream.ask(WEB);
  await until(() => stream.responses.length === 1);
  stream.ack();
  return { join, peer, stream };
}

describe('a stream of secrets', () => {
  it('ends, and sends no key, when the process is no longer the attested one', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:1']);
    const peer = new ScriptedPeer('unix:uid:1');
    peer.verify = () => {
      throw new SidekeyError('ERR_PEER_CHANGED', 'process 1 has executed another program since it connected');
    };
    const stream = open(t, join, peer);
    stream.ask(WEB);
    await until(() => stream.ended !== undefined);
    assert.equal(stream.ended!.status, Status.UNAVAILABLE);
    assert.match(stream.ended!.message, /executed another program.* \(decision d-[0-9a-f]{12}\)$/);
    assert.deepEqual(stream.responses, []);
  });

  it('ends when the first attestation fails, with a decision id and no internals', async (t) => {
    const join = await makeJoin(t);
    const peer = new ScriptedPeer();
    peer.facts = new SidekeyError('ERR_ATTESTATION_FAILED', 'the docker attestor failed', {
      cause: new Error('s3cret'),
    });
    const stream = open(t, join, peer);
    stream.ask(WEB);
    await until(() => stream.ended !== undefined);
    assert.equal(stream.ended!.status, Status.UNAVAILABLE);
    const [, decision] = /^the docker attestor failed \(decision (d-[0-9a-f]{12})\)$/.exec(stream.ended!.message)!;
    const [detail, ...others] = stream.ended!.details;
    assert.deepEqual(others, []);
    assert.equal(detail!.typeUrl, 'type.googleapis.com/google.rpc.ErrorInfo');
    const info = { reason: 'ERR_ATTESTATION_FAILED', domain: 'sidekey', metadata: { decision: decision! } };
    assert.deepEqual(ErrorInfo.decode(detail!.value), info);
    assert.equal(stream.counters.get('streams_unattested_total'), 1);
  });

  it('ends on an invalid request, which is counted', async (t) => {
    const join = await makeJoin(t);
    const stream = open(t, join, new ScriptedPeer('unix:uid:1'));
    stream.ask('x'.repeat(2_049));
    assert.equal(stream.ended?.status, Status.INVALID_ARGUMENT);
    assert.match(stream.ended!.message, /resource_names\[0\] has 2049 characters/);
    assert.equal(stream.counters.get('requests_invalid_total'), 1);
  });

  it('has the requests of its connection deferred after a push while other streams wait, and not before', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:1'], { federates_with: [OTHER] });
    const setBundle = async () => {
      const x509Authorities = [(await makeCertificate()).der];
      await join.registry.federatedBundles.set(OTHER, {
        x509Authorities,
        jwtAuthorities: [],
        sequenceNumber: undefined,
        refreshHint: undefined,
      });
    };
    await setBundle();
    // Time stands still, so one slice is enough for all, until each push takes a slice of its own.
    let [now, pace] = [0, 0];
    t.mock.method(performance, 'now', () => {
      now += pace;
      return now;
    });
    const shared = service(join);
    const streams = [0, 1, 2, 3].map(() => open(t, join, new ScriptedPeer('unix:uid:1'), shared));
    const defers = streams.map(({ connection }) => t.mock.method(connection, 'defer').mock);
    const resumes = streams.map(({ connection }) => t.mock.method(connection, 'resume').mock);
    for (const stream of streams) stream.ask(`spiffe://${OTHER}`);
    await until(() => streams.every(({ responses }) => responses.length === 1));
    // The second client does not answer, so nothing more is sent to it.
    for (const i of [0, 2, 3]) streams[i]!.ack();
    // Streams that were told of entries meanwhile wait for a slice in which they have nothing to send.
    await turn();
    pace = LONGER_THAN_A_SLICE;
    await setBundle();
    await until(() => [0, 2, 3].every((i) => streams[i]!.responses.length === 2));
    await until(() => resumes[2]!.callCount() === 1);
    for (const calls of [defers, resumes]) {
      assert.deepEqual(
        calls.map((call) => call.callCount()),
        [1, 0, 1, 0],
      );
    }
  });

  it('ends alone when its push fails with an internal error', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:1']);
    const shared = service(join);
    const streams = [0, 1, 2].map(() => open(t, join, new ScriptedPeer('unix:uid:1'), shared));
    for (const stream of streams) stream.ask(WEB);
    await until(() => streams.every(({ responses }) => responses.length === 1));
    for (const stream of streams) stream.ack();
    const peekSvid = join.identities.peekSvid.bind(join.identities);
    let failed = false;
    t.mock.method(join.identities, 'peekSvid', (...args: Parameters<typeof peekSvid>) => {
      if (failed) return peekSvid(...args);
      failed = true;
      throw new Error('broken');
    });
    await join.clock.advance(HALF_LIFE);
    await until(() => streams.filter(({ responses }) => responses.length === 2).length === 2);
    assert.deepEqual(streams.map(({ ended }) => ended?.status).sort(), [Status.INTERNAL, undefined, undefined]);
    assert.doesNotMatch(streams.find(({ ended }) => ended !== undefined)!.ended!.message, /broken/);
  });

  it('stays open while an attestor fails at a renewal, and sends the new SVID when it works again', async (t) => {
    const { join, peer, stream } = await served(t);
    peer.facts = new SidekeyError('ERR_ATTESTATION_FAILED', 'the engine does not answer');
    join.clock.advance(HALF_LIFE);
    await until(() => peer.attestations > 1);
    peer.facts = ['unix:uid:1'];
    while (stream.responses.length === 1) {
      join.clock.advance(1_000);
      await new Promise(setImmediate);
    }
    assert.equal(stream.ended, undefined);
    assert.deepEqual(namesOf(stream.responses[1]!), [WEB]);
  });

  it('ends when its SVID expires if the attestor keeps failing', async (t) => {
    const { join, peer, stream } = await served(t);
    const end = join.clock.now() + 2 * HALF_LIFE;
    peer.facts = new SidekeyError('ERR_ATTESTATION_FAILED', 'the engine does not answer');
    while (stream.ended === undefined) {
      join.clock.advance(60_000);
      await new Promise(setImmediate);
    }
    assert.equal(stream.ended.status, Status.UNAVAILABLE);
    assert.ok(join.clock.now() >= end - 60_000, 'not before the SVID expires');
    assert.equal(stream.responses.length, 1);
  });

  it('sends everything after an attestor has recovered, even if another stream noticed the recovery', async (t) => {
    const { join, peer, stream } = await served(t);
    peer.facts = new SidekeyError('ERR_ATTESTATION_FAILED', 'the engine does not answer');
    join.clock.advance(HALF_LIFE);
    // Names that need no attestation are sent although the rest of the request fails.
    stream.ask(WEB, BUNDLE);
    await until(() => stream.responses.length === 2);
    assert.deepEqual(namesOf(stream.responses[1]!), [BUNDLE]);
    stream.ack();
    await until(() => peer.attestations > 1);
    peer.facts = ['unix:uid:1'];
    await join.identities.caller(peer).reattest();
    await until(() => stream.responses.length === 3);
    assert.deepEqual(namesOf(stream.responses[2]!), [WEB]);
  });

  it('sends an SVID that was issued late to all streams that waited for it', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:1']);
    const issue = join.ca.issue.bind(join.ca);
    join.ca.issue = () => Promise.reject(new SidekeyError('ERR_STORE', 'the disk is full'));
    const first = open(t, join, new ScriptedPeer('unix:uid:1'));
    first.ask(WEB);
    await until(() => holds(first.counts) === 1);
    join.ca.issue = issue;
    const second = open(t, join, new ScriptedPeer('unix:uid:1'));
    second.ask(WEB);
    await until(() => second.responses.length === 1 && first.responses.length === 1);
    assert.deepEqual(namesOf(first.responses[0]!), [WEB]);
  });

  it('sends no removal when a new SVID could not be issued', async (t) => {
    const join = await makeJoin(t);
    const entry = await join.create('/web', ['unix:uid:1']);
    const { identities, clock } = join;
    const counts = new DeliveryCounts();
    const settings = { identities, trustDomain: TRUST_DOMAIN, clock, log, counts, validation: 'spiffe' } as const;
    const method = secretDiscoveryService(settings).find(({ path }) => path.endsWith('/DeltaSecrets'))!;
    assert.ok(method.kind === 'bidirectional');
    const responses: DeltaDiscoveryResponse[] = [];
    const handler = method.open(
      {
        ...callOf(new ScriptedPeer('unix:uid:1')),
        send: (message) => responses.push(DeltaDiscoveryResponse.decode(bytesOf(message))),
        end: () => undefined,
      },
      NO_METADATA,
    );
    t.after(() => handler.closed());
    const send = (request: Parameters<typeof DeltaDiscoveryRequest.fromPartial>[0]) =>
      handler.message(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(request)).finish());
    send({ resourceNamesSubscribe: [WEB] });
    await until(() => responses.length === 1);
    send({ responseNonce: responses[0]!.nonce });
    const issue = join.ca.issue.bind(join.ca);
    join.ca.issue = () => Promise.reject(new SidekeyError('ERR_STORE', 'the disk is full'));
    await join.registry.update(entry.id, { dnsNames: ['web.example.org'] });
    await until(() => holds(counts) === 1);
    assert.equal(responses.length, 1);
    join.ca.issue = issue;
    clock.advance(1_000);
    await until(() => responses.length === 2);
    assert.deepEqual(responses[1]!.removedResources, []);
    assert.deepEqual(
      responses[1]!.resources.map(({ name }) => name),
      [WEB],
    );
  });

  it('answers all names of a request in one response, even if one had to be issued', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:1']);
    const stream = open(t, join, new ScriptedPeer('unix:uid:1'));
    stream.ask(WEB, BUNDLE, 'default');
    await until(() => stream.responses.length === 1);
    assert.deepEqual(namesOf(stream.responses[0]!), ['default', BUNDLE, WEB]);
  });

  it('answers the other names first if one takes long to issue, and that one when it is there', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:1']);
    await join.create('/slow', ['unix:uid:1'], { x509_svid_key_type: 'rsa-2048' });
    const gate = Promise.withResolvers<void>();
    const { issue } = join.ca;
    let issued = 0;
    join.ca.issue = async (request) => {
      if (request.spiffeId.endsWith('/slow')) await gate.promise;
      const svid = await issue(request);
      issued += 1;
      return svid;
    };
    const stream = open(t, join, new ScriptedPeer('unix:uid:1'));
    stream.ask(WEB, `${BUNDLE}/slow`);
    await until(() => issued === 1);
    assert.deepEqual(stream.responses, []);
    await until(() => {
      join.clock.advance(100);
      return stream.responses.length > 0;
    });
    assert.deepEqual(stream.responses.map(namesOf), [[WEB]]);
    stream.ack();
    gate.resolve();
    await until(() => stream.responses.length === 2);
    assert.deepEqual(namesOf(stream.responses[1]!), [`${BUNDLE}/slow`]);
  });

  it('answers default and a bundle, both held at first, when an entry is made', async (t) => {
    const join = await makeJoin(t);
    for (const name of ['default', BUNDLE, 'ROOTCA', 'ALL']) {
      const stream = open(t, join, new ScriptedPeer(`unix:user:${name.length}`));
      stream.ask(name);
      await until(() => holds(stream.counts) === 1);
      await join.create(`/of/${name.length}`, [`unix:user:${name.length}`]);
      await until(() => stream.responses.length === 1);
      assert.deepEqual(namesOf(stream.responses[0]!), [name]);
    }
  });

  it('answers a wildcard without any names when an entry is made', async (t) => {
    const join = await makeJoin(t);
    const peer = new ScriptedPeer('unix:uid:1');
    const stream = open(t, join, peer);
    stream.ask();
    await until(() => join.identities.caller(peer).attested);
    await join.create('/web', ['unix:uid:1']);
    await until(() => stream.responses.length === 1);
    assert.deepEqual(namesOf(stream.responses[0]!), [BUNDLE, WEB]);
  });

  it('has the SVID of a dropped name renewed when the name is requested again', async (t) => {
    const { join, stream } = await served(t);
    stream.ask();
    stream.ask(WEB);
    await until(() => stream.responses.length === 2);
    stream.ack();
    join.clock.advance(HALF_LIFE);
    await until(() => stream.responses.length === 3);
    assert.deepEqual(namesOf(stream.responses.at(-1)!), [WEB]);
  });

  it('watches nothing once it is closed', async (t) => {
    const join = await makeJoin(t);
    const peer = new ScriptedPeer('unix:uid:1');
    const stream = open(t, join, peer);
    stream.ask(WEB);
    await until(() => holds(stream.counts) === 1);
    peer.close();
    await join.create('/web', ['unix:uid:1']);
    await join.create('/web2', ['unix:uid:1']);
    assert.deepEqual(stream.responses, []);
  });
});
