/** The bundle endpoint: its answers, its limits, and its own SVID. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { SidekeyError } from '../../src/base/errors.ts';
import { Listeners } from '../../src/base/listeners.ts';
import type { Revocation } from '../../src/base/revocation.ts';
import { type BundleEndpointOptions, startBundleEndpoint } from '../../src/federation/endpoint/endpoint.ts';
import { PublishingCounts } from '../../src/federation/endpoint/state.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { HOUR, MINUTE, openTestAuthority, request, SECOND, until } from '../ca/support.ts';
import { JWT } from '../jwt/support.ts';
import { TestClock } from '../support/clock.ts';
import { run } from '../support/run.ts';
import { documentFrom, fetchFrom, rootsOf } from './fetch.ts';

const ID = parseSpiffeId('spiffe://ilinux.io/sidekey/server');

/** Revocations that only the test makes. */
function revocations() {
  const revoked = new Map<string, Revocation>();
  const change = new Listeners<{ revoked: readonly Revocation[]; restored: []; ended: [] }>(assert.ifError);
  return {
    revocations: { get: (serial: string) => revoked.get(serial), onChange: change.add.bind(change) },
    revoke: (serial: string) => {
      const one = { serial } as Revocation;
      revoked.set(serial, one);
      change.tell({ revoked: [one], restored: [], ended: [] });
    },
  };
}

async function open(
  t: TestContext,
  overrides: Partial<BundleEndpointOptions> = {},
  terms: Parameters<typeof openTestAuthority>[1] = {},
  begin = Date.now(),
) {
  // Clients check the certificate by the real time.
  const authority = await openTestAuthority(t, { jwt: JWT, ...terms }, new TestClock(begin));
  const { clock, log, ca } = authority;
  const { revocations: known, revoke } = revocations();
  const counts = new PublishingCounts();
  const endpoint = await startBundleEndpoint({
    ...{ listen: { host: '127.0.0.1', port: 0 }, identity: ID, ca, revocations: known, maxConnections: 10, counts },
    ...{ clock, log, ...overrides },
  });
  let closing: Promise<void> | undefined;
  const close = () => (closing ??= endpoint.close());
  t.after(close);
  const { port } = endpoint.state();
  const serial = async () => (await fetchFrom(port)).serial;
  return { ...authority, endpoint, port, counts, revoke, serial, close };
}

describe('what the bundle endpoint answers', () => {
  test('is the document, to a client that checks the SPIFFE ID and knows the bundle', async (t) => {
    const { port, ca, counts } = await open(t);
    const bootstrap = await documentFrom(port);
    const { status, headers, body, names } = await fetchFrom(port, { roots: rootsOf(bootstrap), id: ID });
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json');
    assert.equal(names, `URI:${ID}`);
    const { spiffe_sequence, spiffe_refresh_hint, keys } = JSON.parse(body);
    assert.equal(spiffe_sequence, ca.bundle().sequenceNumber);
    assert.equal(spiffe_refresh_hint, 300);
    assert.deepEqual(
      keys.map(({ use, kid, x5c }: Record<string, unknown[]>) => [use, kid === undefined, x5c?.length]),
      [
        ['x509-svid', true, 1],
        ['jwt-svid', false, undefined],
        ['jwt-svid', false, undefined],
      ],
    );
    assert.ok(counts.requests.get('ok') >= 2);
    await assert.rejects(fetchFrom(port, { roots: rootsOf(bootstrap), id: 'spiffe://ilinux.io/web' }), /unexpected ID/);
    await assert.rejects(fetchFrom(port, { roots: rootsOf(bootstrap) }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  });

  test('is nothing at other paths, and by other methods', async (t) => {
    const { port, counts } = await open(t);
    for (const path of ['/x', '//', '/bundle.json', '/v1/entries', '/healthz', '/../', '/.well-known/x', '*']) {
      assert.equal((await fetchFrom(port, { path })).status, 404, path);
    }
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']) {
      const { status, headers } = await fetchFrom(port, { method, body: '{}' });
      assert.deepEqual([status, headers.allow, headers.connection], [405, 'GET, HEAD', 'close'], method);
    }
    assert.equal(counts.requests.get('refused'), 14);
    const head = await fetchFrom(port, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body], [200, '']);
    assert.ok(Number(head.headers['content-length']) > 500);
    assert.equal((await fetchFrom(port, { path: '/?a=b' })).status, 200);
  });

  test('asks for no client certificate', async (t) => {
    const { port } = await open(t);
    const { stdout } = await run(['openssl', 's_client', '-msg', '-connect', `127.0.0.1:${port}`]);
    assert.match(stdout, /<<< TLS 1.3, Handshake \[length \w+\], Certificate\n/);
    assert.doesNotMatch(stdout, /CertificateRequest/);
  });
});

describe('the limits of the bundle endpoint', () => {
  test('idle and half-open connections do not keep others out', async (t) => {
    const { port, counts, lines } = await open(t, { maxConnections: 5 });
    const idle: Socket[] = [];
    t.after(() => idle.forEach((socket) => void socket.destroy()));
    for (let i = 0; i < 20; i += 1) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      idle.push(socket.resume());
      await once(socket, 'connect');
    }
    assert.equal((await fetchFrom(port)).status, 200);
    await until(() => idle.filter(({ closed }) => closed).length >= 15);
    assert.ok(counts.requests.get('crowded') >= 15);
    assert.ok(lines().some(({ msg }) => msg.startsWith('connections to the bundle endpoint reached the limit')));
  });

  test('a slow client is cut: its handshake and its headers have 5 s', { timeout: 30_000 }, async (t) => {
    const { port, counts } = await open(t);
    const silent = connect(port, '127.0.0.1').on('error', () => undefined);
    const slow = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }).on('error', () => undefined);
    await once(slow, 'secureConnect');
    slow.write('GET / HTTP/1.1\r\nHost: x\r\n');
    const dripping = setInterval(() => slow.write('x: y\r\n'), 200);
    t.after(() => clearInterval(dripping));
    await Promise.all([once(silent.resume(), 'close'), once(slow.resume(), 'close')]);
    assert.ok(counts.requests.get('tls') >= 1);
    assert.equal(counts.requests.get('ok'), 0);
  });

  test('large headers are refused, and clear text gets nothing', async (t) => {
    const { port, counts } = await open(t);
    assert.equal((await fetchFrom(port, { path: `/?${'x'.repeat(20_000)}` })).status, 431);
    const plain = connect(port, '127.0.0.1').on('error', () => undefined);
    plain.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    let got = '';
    plain.on('data', (data) => {
      got += data.toString('latin1');
    });
    await once(plain, 'close');
    assert.doesNotMatch(got, /HTTP/);
    await until(() => counts.requests.get('tls') === 1);
    assert.equal((await fetchFrom(port)).status, 200);
  });

  test('many requests on one connection are answered in order', async (t) => {
    const { port } = await open(t);
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
    t.after(() => void socket.destroy());
    await once(socket, 'secureConnect');
    let got = '';
    socket.on('data', (data) => {
      got += data.toString('latin1');
    });
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(500));
    await until(() => got.split('HTTP/1.1 200 OK').length === 501);
  });
});

describe("the endpoint's own SVID", () => {
  test('is on record, and renewed at half of its life', async (t) => {
    const { clock, serial, records, endpoint } = await open(t);
    const first = await serial();
    const [issued] = records.flat().filter((one) => one.spiffeId === ID);
    assert.deepEqual([issued!.serial, issued!.entryId], [first, 'sidekey:federation']);
    clock.advance(HOUR / 2);
    await until(() => records.flat().filter((one) => one.spiffeId === ID).length === 2);
    await until(() => endpoint.state().certificate.notAfter! > clock.now() + HOUR - MINUTE);
    assert.notEqual(await serial(), first);
  });

  test('follows a taint: it is one of the new root, and idle connections end', async (t) => {
    const { ca, clock, port, serial, endpoint } = await open(t);
    const before = rootsOf(await documentFrom(port));
    const first = await serial();
    const idle = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
    await once(idle, 'secureConnect');
    idle.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(idle, 'data');
    const ended = once(idle, 'close');
    const root = ca.authorities().find(({ role, state }) => role === 'root' && state === 'active')!;
    await ca.taint(root.id);
    clock.advance(5 * SECOND);
    await ca.issue(request());
    await ended;
    assert.notEqual(await serial(), first);
    await assert.rejects(fetchFrom(port, { roots: before, id: ID }), { code: /UNABLE_TO|SELF_SIGNED/ });
    const now = rootsOf(await documentFrom(port));
    assert.equal((await fetchFrom(port, { roots: now, id: ID })).status, 200);
    assert.equal(endpoint.state().certificate.problem, undefined);
  });

  test('follows a rotation: partners that fetched in time go on', async (t) => {
    const terms = { isFetched: true, refreshHint: 60, rootPublishTime: 0 };
    const { ca, clock, port, serial } = await open(t, {}, terms, Date.now() - 10 * MINUTE);
    const before = rootsOf(await documentFrom(port));
    const first = await serial();
    await ca.rotate('root');
    const fetched = rootsOf(await documentFrom(port));
    clock.advance(5 * MINUTE - 1);
    await ca.issue(request());
    assert.equal(
      (await fetchFrom(port, { roots: before, id: ID })).serial,
      first,
      'nobody has to know the new root yet',
    );
    clock.advance(1);
    await ca.issue(request());
    await assert.rejects(fetchFrom(port, { roots: before, id: ID }), 'its certificate is under the new root');
    assert.notEqual((await fetchFrom(port, { roots: fetched, id: ID })).serial, first);
  });

  test('is replaced when it is revoked', async (t) => {
    const { revoke, serial, records } = await open(t);
    const first = await serial();
    revoke(first);
    await until(() => records.flat().filter((one) => one.spiffeId === ID).length === 2);
    assert.notEqual(await serial(), first);
    revoke('00');
    assert.equal(records.flat().filter((one) => one.spiffeId === ID).length, 2);
  });

  test('that cannot be issued is tried again: handshakes fail meanwhile, and the state says why', async (t) => {
    const { ca } = await openTestAuthority(t, {}, new TestClock(Date.now()));
    let works = false;
    const failing = {
      bundle: () => ca.bundle(),
      signs: (id: string) => ca.signs(id),
      onReplaced: ca.onReplaced.bind(ca),
      issue: (...given: Parameters<typeof ca.issue>) =>
        works ? ca.issue(...given) : Promise.reject(new SidekeyError('ERR_CA', 'no intermediate can sign')),
    };
    const { port, endpoint, clock, lines, counts } = await open(t, { ca: failing });
    await assert.rejects(fetchFrom(port));
    assert.equal(counts.requests.get('tls'), 1);
    assert.deepEqual(endpoint.state().certificate, {
      ...{ files: undefined, notAfter: undefined, problem: 'no intermediate can sign' },
    });
    assert.ok(lines().some(({ msg }) => msg === 'the SVID of the bundle endpoint could not be issued'));
    works = true;
    clock.advance(SECOND);
    await until(() => endpoint.state().certificate.problem === undefined);
    assert.equal((await fetchFrom(port)).names, `URI:${ID}`);
  });

  test('closes without waiting for a handshake', async (t) => {
    const { port, close } = await open(t);
    const silent = connect(port, '127.0.0.1').on('error', () => undefined);
    await once(silent, 'connect');
    await fetchFrom(port);
    const ended = once(silent.resume(), 'close');
    await close();
    await ended;
  });
});
