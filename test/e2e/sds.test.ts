/** The pipe from outside: a real `bin/sidekey serve`, a client that speaks gRPC to it, entries made over REST. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createPrivateKey, type X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { chainOf, namesOf, rootsOf, SdsClient, type SdsStream, secretOf } from '../support/sds-client.ts';
import { makePlace, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const API = `spiffe://${TRUST_DOMAIN}/api`;
const BUNDLE = `spiffe://${TRUST_DOMAIN}`;
const MINE = [{ type: 'unix', value: `uid:${process.getuid!()}` }];

async function create(server: Served, spiffeId: string, more: Record<string, unknown> = {}): Promise<string> {
  const answer = await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors: MINE, ...more });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body.id;
}

function client(t: TestContext, server: Served): SdsClient {
  const made = new SdsClient(server.socket);
  t.after(() => made.close());
  return made;
}

function open(t: TestContext, server: Served, ...names: string[]): SdsStream {
  const stream = client(t, server).stream();
  t.after(() => stream.cancel());
  stream.ask(...names);
  return stream;
}

/** Waits until the server has said this of a name. */
async function heldReason(server: Served, name: string): Promise<unknown> {
  for (;;) {
    const line = server.log.find((one) => one.msg === 'name held' && one.name === name);
    if (line !== undefined) return line.reason;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Makes sure that nothing was sent: the answer to another name comes after whatever was due before. */
async function settle(t: TestContext, server: Served): Promise<void> {
  const id = `spiffe://${TRUST_DOMAIN}/settle/${process.hrtime.bigint()}`;
  await create(server, id);
  await open(t, server, id).next();
}

const serialOf = (response: DiscoveryResponse, name: string) => chainOf(secretOf(response, name))[0]!.serialNumber;

describe('the secret discovery service on the pipe', { concurrency: 2, timeout: 60_000 }, () => {
  it('gives an SVID and the bundle that proves it, in one answer', async (t) => {
    const server = await serve(t);
    await create(server, WEB, { dns_names: ['web.ilinux.io'] });
    const response = await open(t, server, WEB, BUNDLE).next();
    assert.deepEqual(namesOf(response), [BUNDLE, WEB]);
    const [leaf, intermediate] = chainOf(secretOf(response, WEB));
    const [root] = rootsOf(secretOf(response, BUNDLE));
    assert.equal(leaf!.subjectAltName, `URI:${WEB}, DNS:web.ilinux.io`);
    assert.ok(leaf!.verify(intermediate!.publicKey) && intermediate!.verify(root!.publicKey));
    assert.equal(leaf!.ca, false);
    const key = secretOf(response, WEB).tlsCertificate!.privateKey!.inlineBytes!;
    assert.match(Buffer.from(key).toString(), /^-----BEGIN PRIVATE KEY-----/);
    assert.equal(response.controlPlane?.identifier, 'sidekey');
  });

  it('makes a burst of SVIDs', async (t) => {
    const server = await serve(t);
    const names = Array.from({ length: 2_000 }, (_, i) => `spiffe://${TRUST_DOMAIN}/burst/${i}`);
    const entries = names.map((spiffe_id) => ({ spiffe_id, selectors: MINE }));
    const { status } = await server.request('POST', '/v1/entries', { entries });
    assert.equal(status, 201);
    // A client of gRPC takes no message beyond 4 MiB.
    const parts = Array.from({ length: 4 }, (_, i) => names.slice(i * 500, (i + 1) * 500));
    const responses = await Promise.all(parts.map((part) => open(t, server, ...part).next()));
    for (const [i, response] of responses.entries()) {
      assert.deepEqual(new Set(namesOf(response)), new Set(parts[i]));
      const key = createPrivateKey(
        Buffer.from(secretOf(response, parts[i]![0]!).tlsCertificate!.privateKey!.inlineBytes!),
      );
      assert.ok(chainOf(secretOf(response, parts[i]![0]!))[0]!.checkPrivateKey(key));
    }
    const warnings = server.log.filter(({ level }) => level === 'warn' || level === 'error');
    assert.deepEqual(warnings, []);
  });

  it('holds a name without an entry and answers when the entry is made', async (t) => {
    const server = await serve(t);
    const stream = open(t, server, WEB);
    assert.equal(await heldReason(server, WEB), 'no-entry');
    await create(server, WEB);
    assert.deepEqual(namesOf(await stream.next()), [WEB]);
  });

  it('gives what is there and holds the rest of the same request', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const stream = open(t, server, WEB, API);
    const first = await stream.next();
    assert.deepEqual(namesOf(first), [WEB]);
    stream.ack(first, [WEB, API]);
    await create(server, API);
    assert.deepEqual(namesOf(await stream.next()), [API]);
  });

  it('gives nothing to a caller that lacks a selector, and says which in the log', async (t) => {
    const server = await serve(t);
    await create(server, WEB, { selectors: [...MINE, { type: 'unix', value: 'gid:54321' }] });
    open(t, server, WEB, BUNDLE);
    assert.equal(await heldReason(server, WEB), 'lacks-selectors');
    assert.equal(await heldReason(server, BUNDLE), 'no-identity');
    const line = server.log.find((one) => one.name === WEB && one.msg === 'name held')!;
    assert.match(String(line.detail), /unix:gid:54321$/);
  });

  it('answers default, ROOTCA and ALL beside a SPIFFE ID', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    await create(server, API, { hint: 'default' });
    const response = await open(t, server, 'default', 'ROOTCA', 'ALL', WEB).next();
    assert.deepEqual(namesOf(response), ['ALL', 'ROOTCA', 'default', WEB].sort());
    assert.equal(chainOf(secretOf(response, 'default'))[0]!.subjectAltName, `URI:${API}`);
    assert.equal(rootsOf(secretOf(response, 'ALL')).length, 1);
  });

  it('gives everything to a request without names, and what is added later', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const stream = open(t, server);
    const first = await stream.next();
    assert.deepEqual(namesOf(first), [BUNDLE, WEB]);
    stream.ack(first, []);
    await create(server, API);
    assert.deepEqual(namesOf(await stream.next()), [API]);
  });

  it('gives a plain trusted_ca to a node that asks for it', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const stream = client(t, server).stream();
    t.after(() => stream.cancel());
    const metadata = { disable_spiffe_cert_validation: true };
    stream.send({ resourceNames: [BUNDLE], node: { id: 'n', cluster: 'c', metadata } });
    assert.ok(secretOf(await stream.next(), BUNDLE).validationContext!.trustedCa !== undefined);
  });

  it('sends nothing again that did not change', async (t) => {
    const server = await serve(t);
    const id = await create(server, WEB);
    const acked = open(t, server, WEB);
    acked.ack(await acked.next());
    // A change that is none of the SVID's.
    const patched = await server.request('PATCH', `/v1/entries/${id}`, { hint: 'internal' });
    assert.equal(patched.status, 200);
    await settle(t, server);
    assert.equal(acked.received, 1);
  });

  it('makes a new certificate for who rejects what it was sent, also where it blames the bundle', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const certificate = open(t, server, WEB);
    const first = await certificate.next();
    certificate.ack(first);
    const rejecting = client(t, server);
    const [web, bundle] = [rejecting.stream(), rejecting.stream()];
    t.after(() => [web, bundle].forEach((stream) => void stream.cancel()));
    web.ask(WEB);
    web.ack(await web.next());
    bundle.ask(BUNDLE);
    bundle.nack(await bundle.next(), 'test rejects it');
    assert.equal((await server.logged('client rejected a response (NACK)')).message, 'test rejects it');
    const second = await web.next();
    assert.notEqual(serialOf(second, WEB), serialOf(first, WEB));
    assert.equal(serialOf(await certificate.next(), WEB), serialOf(second, WEB), 'all who share the entry have it');
    assert.equal(bundle.received, 1, 'a bundle waits for a change');
  });

  it('pushes a new SVID when the entry changes what stands in it', async (t) => {
    const server = await serve(t);
    const id = await create(server, WEB);
    const stream = open(t, server, WEB);
    const first = await stream.next();
    stream.ack(first);
    await server.request('PATCH', `/v1/entries/${id}`, { dns_names: ['new.ilinux.io'] });
    const second = await stream.next();
    assert.match(chainOf(secretOf(second, WEB))[0]!.subjectAltName!, /DNS:new\.ilinux\.io/);
    assert.notEqual(second.versionInfo, first.versionInfo);
  });

  it('keeps one push in flight and ignores a stale nonce', async (t) => {
    const server = await serve(t);
    const id = await create(server, WEB);
    const stream = open(t, server, WEB);
    const first = await stream.next();
    for (const name of ['one', 'two']) {
      await server.request('PATCH', `/v1/entries/${id}`, { dns_names: [`${name}.ilinux.io`] });
    }
    stream.send({ resourceNames: [API], responseNonce: 'stale' });
    await server.logged('request with a stale nonce ignored');
    assert.equal(stream.received, 1);
    stream.ack(first);
    const second = await stream.next();
    assert.match(chainOf(secretOf(second, WEB))[0]!.subjectAltName!, /two\.ilinux\.io/);
  });

  it('renews an SVID at half its life and keeps the bundle', async (t) => {
    const server = await serve(t);
    await create(server, WEB, { x509_svid_ttl: 3 });
    const stream = open(t, server, WEB, BUNDLE);
    const first = await stream.next();
    stream.ack(first);
    const second = await stream.next();
    assert.deepEqual(namesOf(second), [WEB]);
    assert.notEqual(serialOf(second, WEB), serialOf(first, WEB));
    const [leaf] = chainOf(secretOf(first, WEB));
    assert.ok(Date.now() < Date.parse(leaf!.validTo), 'the old one is still valid when the new one comes');
  });

  it('ends issuance when the entry expires', async (t) => {
    const server = await serve(t);
    const stream = open(t, server, WEB);
    await heldReason(server, WEB);
    const end = Math.ceil(Date.now() / 1000) + 3;
    await create(server, WEB, { expires_at: end });
    const first = await stream.next();
    assert.ok(Date.parse(chainOf(secretOf(first, WEB))[0]!.validTo) <= end * 1000);
    await server.logged('entry expired');
    stream.ack(first);
    const other = client(t, server);
    await assert.rejects(other.fetch({ resourceNames: [WEB] }), { code: 5 });
    const { held } = await server.logged('fetch found no secret');
    assert.equal((held as { reason: string }[])[0]!.reason, 'expired');
  });

  it('says nothing when an entry is deleted and pushes a new SVID when it is made again', async (t) => {
    const server = await serve(t);
    const id = await create(server, WEB);
    const stream = open(t, server, WEB);
    const first = await stream.next();
    stream.ack(first);
    assert.equal((await server.request('DELETE', `/v1/entries/${id}`)).status, 204);
    await settle(t, server);
    assert.equal(stream.received, 1);
    await create(server, WEB);
    assert.notEqual(serialOf(await stream.next(), WEB), serialOf(first, WEB));
  });

  it('refuses another type_url and takes an empty one', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const wrong = client(t, server).stream();
    wrong.send({ resourceNames: [WEB], typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster' });
    const status = await wrong.status;
    assert.equal(status.code, 3);
    assert.match(status.details, /envoy\.config\.cluster\.v3\.Cluster/);
    const empty = client(t, server).stream();
    t.after(() => empty.cancel());
    empty.send({ resourceNames: [WEB], typeUrl: '' });
    assert.deepEqual(namesOf(await empty.next()), [WEB]);
  });

  it('ends a stream that sends garbage with INVALID_ARGUMENT, and serves the next', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const bad = client(t, server).stream();
    bad.sendBytes(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]));
    assert.equal((await bad.status).code, 3);
    assert.deepEqual(namesOf(await open(t, server, WEB).next()), [WEB]);
  });

  it('answers FetchSecrets with what the caller may have, NOT_FOUND where that is nothing', async (t) => {
    const server = await serve(t);
    const fetcher = client(t, server);
    await assert.rejects(fetcher.fetch({ resourceNames: [WEB] }), (error: { code: number; details: string }) => {
      assert.equal(error.code, 5);
      assert.match(
        error.details,
        /no secret for this caller under the name spiffe:\/\/ilinux\.io\/web \(decision d-[0-9a-f]{12}\)/,
      );
      return true;
    });
    await create(server, WEB);
    assert.deepEqual(namesOf(await fetcher.fetch({ resourceNames: [WEB, API] })), [WEB]);
    assert.deepEqual(namesOf(await fetcher.fetch({ resourceNames: [] })), [BUNDLE, WEB]);
  });

  it('shares one SVID between callers and streams of an entry', async (t) => {
    const server = await serve(t);
    await create(server, WEB);
    const [one, other] = await Promise.all([open(t, server, WEB).next(), open(t, server, WEB).next()]);
    assert.equal(serialOf(one, WEB), serialOf(other, WEB));
  });

  it('gives another user nothing of ours', {
    skip: process.getuid!() === 0 ? false : 'only root can start a process of another user',
  }, async (t) => {
    const server = await serve(t, { flags: ['--socket-mode', '0666'] });
    chmodSync(server.directory, 0o755);
    await create(server, WEB);
    const args = ['fetch', '--spiffe-id', WEB, '--socket', server.socket];
    const ours = spawn(path.join(ROOT, 'bin/sidekey'), args, { stdio: 'pipe' });
    assert.deepEqual(await once(ours, 'close'), [0, null]);
    const stranger = spawn('setpriv', [
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      '--',
      path.join(ROOT, 'bin/sidekey'),
      ...args,
    ]);
    let stderr = '';
    stranger.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    assert.deepEqual(await once(stranger, 'close'), [1, null]);
    assert.match(stderr, /no secret for this caller/);
    const { held } = await server.logged('fetch found no secret');
    assert.match((held as { detail: string }[])[0]!.detail, /callers with unix:uid:0$/);
  });

  it('tells every stream UNAVAILABLE at SIGTERM and exits 0, and the next server has the same root', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    await create(server, WEB);
    const stream = open(t, server, WEB, BUNDLE);
    const first = await stream.next();
    stream.ack(first);
    const stopped = server.stop();
    assert.equal((await stream.status).code, 14);
    assert.deepEqual(await stopped, { code: 0, signal: null });
    const again = await serve(t, { place });
    const second = await open(t, again, WEB, BUNDLE).next();
    const fingerprint = (response: DiscoveryResponse) =>
      rootsOf(secretOf(response, BUNDLE)).map((c: X509Certificate) => c.fingerprint256);
    assert.deepEqual(fingerprint(second), fingerprint(first));
    assert.notEqual(serialOf(second, WEB), serialOf(first, WEB));
  });
});
