/** What the admin API tells of proxies: a whole server on real sockets, its clients as good or bad as the test wants. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { ProxyPageJson, SecretJson } from '../../src/admin/proxy-schema.ts';
import { makeAttestation } from '../../src/attest/attestation.ts';
import type { AdminClient } from '../../src/client/client.ts';
import { Ledger, type LedgerStream } from '../../src/delivery/ledger.ts';
import type { StreamReport } from '../../src/delivery/stream-report.ts';
import { Owners } from '../../src/limits/owner.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { startInnerServer } from '../support/inner-server.ts';
import type { SdsClient } from '../support/sds-client.ts';
import { call, startAdmin } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const API = 'spiffe://ilinux.io/api';
const BUNDLE = 'spiffe://ilinux.io';

async function page(admin: AdminClient, query = ''): Promise<ProxyPageJson> {
  return admin.json<ProxyPageJson>('GET', `/v1/proxies${query}`);
}

/** Looks again until it is so: what the server hears and what it is asked come on different sockets. */
async function secretWhen(
  admin: AdminClient,
  name: string,
  condition: (secret: SecretJson) => boolean,
): Promise<SecretJson> {
  for (;;) {
    const [secret] = (await page(admin, `?name=${name}`)).proxies.flatMap(({ streams }) =>
      streams.flatMap(({ secrets }) => secrets),
    );
    if (secret !== undefined && condition(secret)) return secret;
  }
}

function open(t: TestContext, client: SdsClient) {
  const stream = client.stream();
  t.after(() => stream.cancel());
  return stream;
}

describe('GET /v1/proxies', { timeout: 60_000 }, () => {
  it('tells of a secret from held to rejected, with reasons, versions, serials and times', async (t) => {
    const { admin, clock, connect, create } = await startInnerServer(t);
    const stream = open(t, connect());
    stream.ask(WEB);
    const held = await secretWhen(admin, WEB, (secret) => secret.held?.reason === 'no-entry');
    const noon = '2026-06-01T12:00:00.000Z';
    assert.deepEqual(held, {
      name: WEB,
      state: 'held',
      held: {
        reason: 'no-entry',
        detail: `no entry gives ${WEB}`,
        since: noon,
        decision: held.held!.decision,
        issued_before: null,
      },
      version: null,
      sent_at: null,
      acked: null,
      acked_at: null,
      rejection: null,
      spiffe_id: null,
      serial: null,
      authority_id: null,
      not_before: null,
      expires_at: null,
    });

    clock.set(clock.now() + 1_000);
    await create(WEB);
    const response = await stream.next();
    const sent = await secretWhen(admin, WEB, ({ state }) => state === 'sent');
    assert.deepEqual(sent, {
      ...held,
      state: 'sent',
      held: null,
      version: response.versionInfo,
      sent_at: '2026-06-01T12:00:01.000Z',
      spiffe_id: WEB,
      serial: sent.serial,
      authority_id: sent.authority_id,
      not_before: '2026-06-01T11:59:31.000Z',
      expires_at: '2026-06-01T13:00:01.000Z',
    });
    assert.match(sent.serial!, /^[0-9a-f]+$/);
    assert.match(sent.authority_id!, /^[0-9a-f]{40}$/);

    clock.set(clock.now() + 30_000);
    await secretWhen(admin, WEB, ({ state }) => state === 'stale');
    stream.ack(response);
    const inSync = await secretWhen(admin, WEB, ({ state }) => state === 'in_sync');
    assert.deepEqual([inSync.acked, inSync.acked_at], [response.versionInfo, '2026-06-01T12:00:31.000Z']);

    await create(API, { dns_names: ['api.example'] });
    stream.ack(response, [WEB, API]);
    stream.nack(await stream.next(), 'no such key');
    const { state, rejection, version } = await secretWhen(admin, API, (secret) => secret.rejection !== null);
    assert.equal(state, 'rejected');
    assert.deepEqual(rejection, { version, message: 'no such key', at: '2026-06-01T12:00:31.000Z' });
  });

  it('says who asks, by which variant, one object a connection', async (t) => {
    const { admin, connect, create } = await startInnerServer(t);
    await create(WEB);
    const one = connect();
    const [sotw, delta] = [open(t, one), connect().delta('ads')];
    t.after(() => delta.cancel());
    sotw.ask(WEB);
    await sotw.next();
    const second = open(t, one);
    second.ask(BUNDLE);
    await second.next();
    delta.ask(WEB);
    await delta.next();
    const { at, proxies, next_cursor: nextCursor } = await page(admin);
    assert.deepEqual([at, nextCursor], ['2026-06-01T12:00:00.000Z', '']);
    assert.deepEqual(
      proxies.map(({ streams }) => streams.map(({ service, variant }) => `${service} ${variant}`)),
      [['sds sotw', 'sds sotw'], ['ads delta']],
    );
    const { connection, selectors, streams, owner, ...who } = proxies[0]!;
    const [uid, gid] = [process.getuid!(), process.getgid!()];
    assert.deepEqual(who, { pid: process.pid, uid, gid, node_id: 'test', cluster: 'test', envoy_version: '' });
    assert.match(owner, /^(uid [0-9]+|container .+)$/);
    assert.notEqual(connection, proxies[1]!.connection);
    assert.ok(selectors.includes(`unix:uid:${uid}`));
    assert.ok(streams[0]!.id < streams[1]!.id);
    assert.equal(streams[0]!.opened_at, at);
  });

  it('leaves out what is not asked for, and whom nothing of it is left of', async (t) => {
    const { admin, connect, create } = await startInnerServer(t);
    await create(WEB);
    const [one, other] = [open(t, connect()), open(t, connect())];
    one.ask(WEB, 'default', BUNDLE, API);
    await one.next();
    other.send({ resourceNames: [API], node: { id: 'other', cluster: '' } });
    await secretWhen(admin, API, ({ held }) => held?.reason === 'no-entry');
    const namesOf = async (query: string) =>
      (await page(admin, query)).proxies.map(({ node_id: node, streams }) => [
        node,
        ...streams.flatMap(({ secrets }) => secrets.map(({ name }) => name)),
      ]);
    assert.deepEqual(await namesOf(`?spiffe_id=${WEB}`), [['test', WEB, 'default']]);
    assert.deepEqual(await namesOf(`?spiffe_id=${API}&node=other`), [['other', API]]);
    assert.deepEqual(await namesOf('?name=default'), [['test', 'default']]);
    assert.deepEqual(await namesOf('?state=rejected'), []);
    assert.deepEqual(await namesOf('?state=rejected&state=sent'), [['test', WEB, 'default', BUNDLE]]);
    assert.deepEqual(await namesOf(`?uid=${process.getuid!() + 1}`), []);
    assert.equal((await namesOf(`?pid=${process.pid}&uid=${process.getuid!()}`)).length, 2);
    assert.deepEqual(await namesOf('?node=nobody'), []);
  });

  it('refuses a state that there is none of, and a cursor that is none', async (t) => {
    const { socketPath } = await startAdmin(t);
    const { status, body } = await call(socketPath, 'GET', '/v1/proxies?state=sent&state=fine&cursor=x&limit=0');
    assert.equal(status, 400);
    assert.deepEqual(
      body.errors.map(({ path }: { path: string }) => path),
      ['?state', '?limit', '?cursor'],
    );
  });
});

/** A stream with this many held names. */
function streamOf(id: number, peerId: string, names: number, peers: Map<string, LedgerStream['peer']>): LedgerStream {
  const peer = peers.get(peerId) ?? {
    id: peerId,
    credentials: { pid: id, uid: 0, gid: 0 },
    owner: new Owners().user(0),
    gone: false,
    attest: async () => makeAttestation([]),
    verify: () => undefined,
    known: () => undefined,
    onGone: () => undefined,
    pause: () => undefined,
    resume: () => undefined,
    close: () => undefined,
  };
  peers.set(peerId, peer);
  const secrets = Array.from({ length: names }, (_, i) => ({
    name: `spiffe://ilinux.io/${id}/${i}`,
    state: 'held' as const,
    held: { reason: 'no-entry' as const, detail: 'no entry gives it', since: 0, decision: undefined },
  }));
  const report = { id, service: 'sds', variant: 'sotw', openedAt: 0, secrets } as unknown as StreamReport;
  return { peer, selectors: [], node: undefined, report: () => report } as unknown as LedgerStream;
}

describe('GET /v1/proxies of many', { timeout: 60_000 }, () => {
  it('comes in pages, by connection, each once, whoever goes meanwhile', async (t) => {
    const ledger = new Ledger(createLog('silent'));
    const peers = new Map();
    const streams = Array.from({ length: 7 }, (_, i) => streamOf(i + 1, `peer-${i % 5}`, 1, peers));
    for (const stream of streams) ledger.open(stream);
    const { socketPath } = await startAdmin(t, { ledger });
    const first = (await call(socketPath, 'GET', '/v1/proxies?limit=2')).body;
    const idsOf = ({ proxies }: ProxyPageJson) => proxies.flatMap((proxy) => proxy.streams.map(({ id }) => id));
    assert.deepEqual(idsOf(first), [1, 6, 2, 7]);
    ledger.close(streams[1]!);
    ledger.close(streams[6]!);
    const second = (await call(socketPath, 'GET', `/v1/proxies?limit=2&cursor=${first.next_cursor}`)).body;
    assert.deepEqual(idsOf(second), [3, 4]);
    const third = (await call(socketPath, 'GET', `/v1/proxies?limit=2&cursor=${second.next_cursor}`)).body;
    assert.deepEqual(idsOf(third), [5]);
    assert.equal(third.next_cursor, '');
    const exact = (await call(socketPath, 'GET', '/v1/proxies?limit=4')).body;
    assert.deepEqual([exact.proxies.length, exact.next_cursor], [4, '']);
  });

  it('keeps nobody else waiting while ten thousand streams are told', async (t) => {
    const ledger = new Ledger(createLog('silent'));
    const peers = new Map();
    for (let i = 1; i <= 10_000; i += 1) ledger.open(streamOf(i, `peer-${i % 1_000}`, 5, peers));
    const { socketPath } = await startAdmin(t, { ledger });
    const done: string[] = [];
    const all = call(socketPath, 'GET', '/v1/proxies?limit=1000').then((answer) => {
      done.push('proxies');
      return answer;
    });
    const none = call(socketPath, 'GET', '/v1/proxies?name=none').then(() => done.push('none'));
    await call(socketPath, 'GET', '/healthz').then(() => done.push('health'));
    const { status, body } = await all;
    await none;
    assert.equal(done[0], 'health');
    assert.equal(status, 200);
    assert.equal(body.proxies.flatMap(({ streams }: { streams: unknown[] }) => streams).length, 10_000);
    assert.equal((await call(socketPath, 'HEAD', '/v1/proxies')).status, 200);
  });
});
