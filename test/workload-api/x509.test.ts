/** X.509-SVIDs and bundles of the Workload API: a real server on real sockets, with a clock of the test's own. */

import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { userInfo } from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import Sqlite from 'better-sqlite3';
import { certificatesOf } from '../../src/cli/der.ts';
import { Status } from '../../src/wire/types.ts';
import { makeCertificate } from '../support/certificates.ts';
import { type InnerServer, startInnerServer } from '../support/inner-server.ts';
import { namesOf, SdsClient } from '../support/sds-client.ts';
import { chainIn, type HEADER, WorkloadClient } from '../support/workload-client.ts';

const DOMAIN = 'spiffe://ilinux.io';
const WEB = `${DOMAIN}/web`;
const API = `${DOMAIN}/api`;
const OTHER = 'spiffe://other.example';

interface Started extends InnerServer {
  client(): WorkloadClient;
  remove(id: string): Promise<void>;
  proxies(): Promise<Proxies>;
}

interface Proxies {
  readonly proxies: readonly {
    readonly streams: readonly {
      readonly service: string;
      readonly variant: string;
      readonly secrets: readonly {
        name: string;
        state: string;
        serial: string | null;
        held: { reason: string } | null;
      }[];
    }[];
  }[];
}

async function start(t: TestContext, flags: Record<string, string> = {}): Promise<Started> {
  const server = await startInnerServer(t, flags);
  return {
    ...server,
    client: () => new WorkloadClient(t, server.socket),
    remove: async (id) => void (await server.admin.json('DELETE', `/v1/entries/${id}`)),
    proxies: () => server.admin.json<Proxies>('GET', '/v1/proxies'),
  };
}

const setBundle = async ({ admin }: InnerServer, keys: readonly object[]) =>
  void (await admin.json('PUT', '/v1/bundles/other.example', { body: { keys } }));

describe('FetchX509SVID', { timeout: 60_000 }, () => {
  it('has the SVID of each entry with its key, the default first, and the own bundle', async (t) => {
    const server = await start(t);
    await server.create(API, { hint: 'internal' });
    server.clock.advance(1_000);
    await server.create(WEB, { hint: 'default', dns_names: ['web.test'] });
    const { svids, federatedBundles, crl } = await server.client().x509Svids().next();
    assert.deepEqual(
      svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
      [
        [WEB, 'default'],
        [API, 'internal'],
      ],
    );
    assert.deepEqual([federatedBundles, crl], [{}, []]);
    for (const svid of svids) {
      const [leaf, intermediate] = chainIn(svid);
      const [root, ...more] = certificatesOf(svid.bundle);
      assert.equal(more.length, 0);
      assert.equal(leaf!.subjectAltName!.split(', ')[0], `URI:${svid.spiffeId}`);
      assert.ok(leaf!.checkIssued(intermediate!) && intermediate!.checkIssued(root!));
      const key = createPrivateKey({ key: svid.x509SvidKey, format: 'der', type: 'pkcs8' });
      assert.ok(leaf!.publicKey.equals(createPublicKey(key)));
    }
  });

  it('has the SPIFFE ID that a template renders, by its own name over SDS too', async (t) => {
    const server = await start(t);
    await server.create(`${DOMAIN}/users/{unix.uid}`, { hint: 'user' });
    const mine = `${DOMAIN}/users/${process.geteuid!()}`;
    const { svids } = await server.client().x509Svids().next();
    assert.deepEqual(
      svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
      [[mine, 'user']],
    );
    const sds = new SdsClient(server.socket);
    t.after(() => sds.close());
    const [all, byName] = [sds.stream(), sds.delta()];
    all.ask();
    assert.deepEqual(namesOf(await all.next()).sort(), [DOMAIN, mine]);
    byName.ask(mine);
    const { resources } = await byName.next();
    assert.deepEqual(
      resources.map(({ name }) => name),
      [mine],
    );
    const other = `${DOMAIN}/users/4000000`;
    const held = sds.stream();
    held.ask(other);
    const isHeld = async () => JSON.stringify(await server.proxies()).includes('"not-rendered"');
    while (!(await isHeld())) await new Promise(setImmediate);
  });

  it('gives each hint to one SVID, that of the oldest entry', async (t) => {
    const server = await start(t);
    for (const name of ['a', 'b', 'c']) {
      await server.create(`${DOMAIN}/${name}`, { hint: name === 'c' ? '' : 'internal' });
      server.clock.advance(1_000);
    }
    const { svids } = await server.client().x509Svids().next();
    assert.deepEqual(
      svids.map(({ hint }) => hint),
      ['internal', '', ''],
    );
  });

  it('sends the whole state again when an entry comes, changes or goes, and ends when the last one has gone', async (t) => {
    const server = await start(t);
    const web = await server.create(WEB);
    const stream = server.client().x509Svids();
    const idsOf = async () => (await stream.next()).svids.map(({ spiffeId }) => spiffeId);
    assert.deepEqual(await idsOf(), [WEB]);
    server.clock.advance(1_000);
    const api = await server.create(API);
    assert.deepEqual(await idsOf(), [WEB, API]);
    await server.remove(web);
    assert.deepEqual(await idsOf(), [API]);
    await server.remove(api);
    const { code, details } = await stream.status;
    assert.deepEqual([code, details], [Status.PERMISSION_DENIED, 'no identity issued']);
  });

  it('does not send a revoked SVID again, even if there is no new one', async (t) => {
    const server = await start(t);
    await server.create(WEB);
    server.clock.advance(1_000);
    await server.create(API);
    const stream = server.client().x509Svids();
    assert.equal((await stream.next()).svids.length, 2);
    const db = new Sqlite(path.join(server.dataDir, 'sidekey.db'));
    t.after(() => db.close());
    db.exec("CREATE TRIGGER no_more BEFORE INSERT ON issuances BEGIN SELECT RAISE(ABORT, 'no'); END");
    await server.admin.json('POST', '/v1/revocations', { body: { spiffe_id: WEB, now: true } });
    const { svids, crl } = await stream.next();
    assert.ok(crl.length > 0);
    assert.deepEqual(
      svids.map(({ spiffeId }) => spiffeId),
      [API],
    );
  });

  it('sends nothing when nothing that the message has changes', async (t) => {
    const server = await start(t);
    const web = await server.create(WEB);
    const stream = server.client().x509Svids();
    await stream.next();
    await server.create(API, { selectors: [{ type: 'unix', value: 'uid:4242' }] });
    await setBundle(server, [(await makeCertificate({ name: 'other' })).key]);
    await server.admin.json('PATCH', `/v1/entries/${web}`, { body: { hint: 'mine' } });
    assert.equal((await stream.next()).svids[0]!.hint, 'mine');
    assert.equal(stream.received, 2);
  });

  it('renews at half life, with the same message for all streams of the entry', async (t) => {
    const server = await start(t, { x509SvidTtl: '60s' });
    await server.create(WEB);
    const streams = [server.client().x509Svids(), server.client().x509Svids()];
    const serialsOf = () =>
      Promise.all(streams.map(async (stream) => chainIn((await stream.next()).svids[0]!)[0]!.serialNumber));
    const [first, again] = await serialsOf();
    assert.equal(first, again);
    // In steps, between which clients answer the server's PINGs.
    for (let step = 0; step < 9 && streams.some(({ received }) => received < 2); step += 1) {
      server.clock.advance(5_000);
      await server.proxies();
    }
    const [renewed, too] = await serialsOf();
    assert.notEqual(renewed, first);
    assert.equal(renewed, too);
  });

  it('goes on renewing after a change of a template that renders the same SPIFFE ID', async (t) => {
    const server = await start(t, { x509SvidTtl: '60s' });
    const [uid, gid] = [process.getuid!(), process.getgid!()];
    if (uid !== gid) {
      t.skip('the uid and the gid of this process differ, so the two templates render different SPIFFE IDs');
      return;
    }
    // Entries that ask for both values, so that they are known at once.
    for (const name of ['uid', 'gid']) await server.create(`${DOMAIN}/other-${name}/{unix.${name}}`);
    const id = await server.create(`${DOMAIN}/h/{unix.gid}`, { hint: 'default' });
    const stream = server.client().x509Svids();
    const serialOf = async () => chainIn((await stream.next()).svids[0]!)[0]!.serialNumber;
    const serials = new Set([await serialOf()]);
    await server.admin.json('PATCH', `/v1/entries/${id}`, { body: { spiffe_id: `${DOMAIN}/h/{unix.uid}` } });
    while (serials.size < 2) serials.add(await serialOf());
    const before = stream.received;
    for (let step = 0; step < 9 && stream.received < before + 3; step += 1) {
      server.clock.advance(5_000);
      await server.proxies();
    }
    while (serials.size < 3) serials.add(await serialOf());
  });

  it('goes on through a change of a template to a placeholder that has not been read yet', async (t) => {
    const server = await start(t);
    const id = await server.create(`${DOMAIN}/h/{unix.uid}`);
    const client = server.client();
    const [svids, bundles] = [client.x509Svids(), client.jwtBundles()];
    await Promise.all([svids.next(), bundles.next()]);
    const change = (spiffeId: string) =>
      server.admin.json('PATCH', `/v1/entries/${id}`, { body: { spiffe_id: spiffeId } });
    const next = async () => (await svids.next()).svids[0]!.spiffeId;
    await change(`${DOMAIN}/g/{unix.gid}`);
    assert.equal(await next(), `${DOMAIN}/g/${process.getgid!()}`);
    // That has used up the budget of attestations until the clock advances.
    await change(`${DOMAIN}/p/{unix.user}`);
    await assert.rejects(client.jwtSvids(['db']), { code: Status.UNAVAILABLE });
    assert.equal(svids.received, 2);
    // The pause after an attestation depends on the time that it took.
    for (; svids.received < 3; await server.proxies()) server.clock.advance(1_000);
    assert.equal(await next(), `${DOMAIN}/p/${userInfo().username}`);
    await change(`${DOMAIN}/q/{unix.group}`);
    await server.proxies();
    await server.remove(id);
    for (const stream of [svids, bundles]) assert.equal((await stream.status).code, Status.PERMISSION_DENIED);
  });

  it('has the bundles of federated trust domains, from when they are set until they are deleted', async (t) => {
    const server = await start(t);
    await server.create(WEB, { federates_with: ['other.example'] });
    const stream = server.client().x509Svids();
    assert.deepEqual((await stream.next()).federatedBundles, {});
    const root = await makeCertificate({ name: 'other' });
    await setBundle(server, [root.key]);
    const { federatedBundles } = await stream.next();
    assert.deepEqual(Object.keys(federatedBundles), [OTHER]);
    assert.equal(certificatesOf(federatedBundles[OTHER]!)[0]!.subject, 'CN=other');
    await server.admin.json('DELETE', '/v1/bundles/other.example');
    assert.deepEqual((await stream.next()).federatedBundles, {});
  });

  it('refuses a caller without an identity, and says why in a decision', async (t) => {
    const server = await start(t);
    const { code, details, metadata } = await server.client().x509Svids().status;
    assert.deepEqual([code, details], [Status.PERMISSION_DENIED, 'no identity issued']);
    const decision = /d-[0-9a-f]{12}/.exec(metadata.get('grpc-status-details-bin').join(' '))![0];
    const { reason } = await server.admin.json<{ reason: string }>('GET', `/v1/decisions/${decision}`);
    assert.equal(reason, 'no-identity');
  });

  it('with --workload-api-hold lets a caller wait for its first identity', async (t) => {
    const server = await start(t, { workloadApiHold: 'true' });
    const stream = server.client().x509Svids();
    const bundles = server.client().x509Bundles();
    const isHeld = async () => {
      const { proxies } = await server.proxies();
      const secrets = proxies.flatMap(({ streams }) => streams.flatMap((one) => one.secrets));
      return secrets.length === 2 && secrets.every(({ held }) => held?.reason === 'no-identity');
    };
    while (!(await isHeld()));
    const web = await server.create(WEB);
    assert.deepEqual(
      (await stream.next()).svids.map(({ spiffeId }) => spiffeId),
      [WEB],
    );
    assert.deepEqual(Object.keys((await bundles.next()).bundles), [DOMAIN]);
    await server.remove(web);
    for (const { status } of [stream, bundles]) assert.equal((await status).code, Status.PERMISSION_DENIED);
  });

  it('shows in the ledger what was sent', async (t) => {
    const server = await start(t);
    await server.create(WEB);
    const stream = server.client().x509Svids();
    const [svid] = (await stream.next()).svids;
    const { proxies } = await server.proxies();
    const [{ service, variant, secrets }] = proxies[0]!.streams as [Proxies['proxies'][0]['streams'][0]];
    assert.deepEqual([service, variant], ['workload-api', 'x509-svids']);
    assert.deepEqual(
      secrets.map(({ name, state }) => [name, state]),
      [
        [WEB, 'in_sync'],
        [DOMAIN, 'in_sync'],
      ],
    );
    assert.equal(secrets[0]!.serial, chainIn(svid!)[0]!.serialNumber.toLowerCase());
    stream.cancel();
    while ((await server.proxies()).proxies.length > 0);
  });

  it('takes part in a rotation of the root: the new bundle reaches its streams first, then the new SVID', async (t) => {
    const server = await start(t);
    await server.create(WEB);
    const stream = server.client().x509Svids();
    const [before] = (await stream.next()).svids;
    await server.admin.json('POST', '/v1/ca/rotate', { body: { role: 'root' } });
    const [published] = (await stream.next()).svids;
    assert.equal(certificatesOf(published!.bundle).length, 2);
    assert.deepEqual(published!.x509Svid, before!.x509Svid);
  });

  it('ends with UNAVAILABLE when the server stops, so that every client tries again', async (t) => {
    const server = await start(t);
    await server.create(WEB);
    const stream = server.client().x509Svids();
    await stream.next();
    await server.server.close();
    assert.equal((await stream.status).code, Status.UNAVAILABLE);
  });
});

describe('the security header', { timeout: 60_000 }, () => {
  const WRONG: Readonly<Record<string, typeof HEADER>> = {
    missing: {},
    'in capitals': { 'workload.spiffe.io': ['TRUE'] },
    twice: { 'workload.spiffe.io': ['true', 'true'] },
    empty: { 'workload.spiffe.io': [''] },
    'with another value': { 'workload.spiffe.io': ['1'] },
  };
  for (const [how, headers] of Object.entries(WRONG)) {
    it(`${how} ends each stream with INVALID_ARGUMENT`, async (t) => {
      const server = await start(t);
      await server.create(WEB);
      const client = server.client();
      for (const stream of [client.x509Svids(headers), client.x509Bundles(headers), client.jwtBundles(headers)]) {
        const { code, details } = await stream.status;
        assert.equal(code, Status.INVALID_ARGUMENT);
        assert.match(details, /^security header missing from request/);
      }
    });
  }
});

describe('FetchX509Bundles and FetchJWTBundles', { timeout: 60_000 }, () => {
  it('have the own domain and the federated ones, and follow their changes', async (t) => {
    const server = await start(t);
    await server.create(WEB, { federates_with: ['other.example'] });
    const x509 = server.client().x509Bundles();
    const jwt = server.client().jwtBundles();
    assert.deepEqual(Object.keys((await x509.next()).bundles), [DOMAIN]);
    assert.deepEqual(Object.keys((await jwt.next()).bundles), [DOMAIN]);
    const { key } = await makeCertificate({ name: 'other' });
    await setBundle(server, [key]);
    assert.deepEqual(Object.keys((await x509.next()).bundles), [DOMAIN, OTHER]);
    const bundles = (await jwt.next()).bundles;
    assert.deepEqual(JSON.parse(bundles[OTHER]!.toString()), { keys: [] });
  });

  it('refuse a caller without an identity, unless bundles are for anyone', async (t) => {
    const closed = await start(t);
    assert.equal((await closed.client().x509Bundles().status).code, Status.PERMISSION_DENIED);
    const open = await start(t, { bundleFor: 'anyone' });
    assert.deepEqual(Object.keys((await open.client().x509Bundles().next()).bundles), [DOMAIN]);
  });
});
