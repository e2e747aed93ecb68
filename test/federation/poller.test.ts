/** The poller against a real HTTPS endpoint that serves what partners and attackers serve. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { SidekeyError } from '../../src/base/errors.ts';
import type { Resolve } from '../../src/federation/lookup.ts';
import { makeTrustBundle } from '../../src/spiffe/bundle.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { TRUST_DOMAIN } from '../registry/support.ts';
import { type Answer, bundleEndpoint, makeAuthority } from '../support/bundle-endpoint.ts';
import { given, ID, OTHER, spiffe, startPolling, web } from './support.ts';

const root = await makeAuthority();
const next = await makeAuthority('next root');
const thief = await makeAuthority('thief', ['spiffe://third.example']);
const svid = await root.leaf({ uris: [ID] });
const host = await root.leaf({ hosts: ['127.0.0.1'] });
const DOCUMENT = { keys: [root.key], spiffe_sequence: 1, spiffe_refresh_hint: 300 };
const bundleOf = (...keys: object[]) => ({ ...DOCUMENT, keys });

async function refused(promise: Promise<unknown>, reason: string, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error: SidekeyError) => {
    assert.deepEqual([error.code, error.extra.reason], ['ERR_FEDERATION', reason], error.message);
    assert.match(error.message, message);
    return true;
  });
}

describe('an endpoint of https_spiffe', { timeout: 60_000 }, () => {
  test('is known by the given bundle, then by the one that was fetched last', async (t) => {
    const endpoint = await bundleEndpoint(t, svid);
    endpoint.answer(bundleOf(root.key, next.key));
    const { create, federation, registry } = await startPolling(t);
    const made = await create(spiffe(`${endpoint.url}a%2Fb?c=d`, root.pem));
    assert.equal(made.fetchError, undefined);
    assert.deepEqual(endpoint.requests, ['GET /a%2Fb?c=d']);
    const bundle = registry.federatedBundles.get(OTHER)!;
    assert.deepEqual([bundle.source, bundle.x509Authorities.length], ['polled', 2]);
    // The root that was announced signs now, and the former one leaves.
    endpoint.present(await next.leaf({ uris: [ID] }));
    endpoint.answer({ ...bundleOf(next.key), spiffe_sequence: 2 });
    assert.deepEqual(await federation.refresh(OTHER, false), { changed: true });
    assert.deepEqual(registry.federatedBundles.get(OTHER)!.x509Authorities, [next.certificate.raw]);
  });

  test('with another SPIFFE ID, several, none, or the certificate of a CA is refused before anything is sent', async (t) => {
    const endpoint = await bundleEndpoint(t, svid);
    endpoint.answer(DOCUMENT);
    const { create, federation } = await startPolling(t);
    await create(spiffe(endpoint.url, root.pem));
    const { length } = endpoint.requests;
    const stolen = 'spiffe://other.example/web';
    for (const [uris, problem] of [
      [[stolen], /has the ID spiffe:\/\/other\.example\/web, and spiffe:\/\/other\.example\/spire\/server is expected/],
      [[`${ID}/x`], /is expected/],
      [[ID, stolen], /several URIs/],
      [[], /no SPIFFE ID/],
    ] as const) {
      endpoint.present(await root.leaf({ uris, hosts: ['127.0.0.1'] }));
      await refused(federation.refresh(OTHER, false), 'identity', problem);
    }
    assert.equal(endpoint.requests.length, length, 'a request was sent to an endpoint that is not known');
    assert.equal(federation.get(OTHER).status.state, 'failing');
  });

  test('that is no longer known by the stored bundle is told as such, until a new bundle is given', async (t) => {
    const endpoint = await bundleEndpoint(t, svid);
    endpoint.answer(DOCUMENT);
    const { create, federation, registry, lines, clock } = await startPolling(t);
    await create(spiffe(endpoint.url, root.pem));
    endpoint.present(await next.leaf({ uris: [ID] }));
    endpoint.answer({ ...bundleOf(next.key), spiffe_sequence: 2 });
    await refused(
      federation.refresh(OTHER, false),
      'certificate',
      /not signed by an authority .*; get the present bundle/,
    );
    assert.equal(federation.get(OTHER).status.state, 'stale-bootstrap');
    assert.ok(lines.some(({ level, msg }) => level === 50 && /sidekey bundle set other\.example/.test(String(msg))));
    assert.equal(registry.federatedBundles.get(OTHER)!.x509Authorities.length, 1, 'the last good bundle stays');
    const moved = new Promise((resolve) => federation.onMove(resolve));
    const {
      x509Authorities: [der],
    } = { x509Authorities: [next.certificate.raw] };
    await registry.federatedBundles.set(OTHER, {
      x509Authorities: [der!],
      jwtAuthorities: [],
      sequenceNumber: undefined,
      refreshHint: undefined,
    });
    clock.advance(1);
    await moved;
    assert.equal(federation.get(OTHER).status.state, 'fresh');
    assert.equal(registry.federatedBundles.get(OTHER)!.source, 'polled');
  });

  test('needs a bundle at once, or the bundle of the domain that its ID is in', async (t) => {
    const { create, registry } = await startPolling(t);
    await assert.rejects(create(spiffe('https://127.0.0.1:1/')), /trust_domain_bundle: it is missing/);
    const elsewhere = { endpoint_spiffe_id: 'spiffe://third.example/server' };
    await assert.rejects(create(spiffe('https://127.0.0.1:1/', root.pem, elsewhere)), /third\.example, whose bundle/);
    assert.deepEqual([registry.relationships.size, registry.federatedBundles.list()], [0, []], 'nothing is half done');
  });

  test('that has published nothing withdraws its trust, and is asked for a new bundle', async (t) => {
    const endpoint = await bundleEndpoint(t, svid);
    endpoint.answer({ ...DOCUMENT, keys: [] });
    const { create, federation, registry, lines } = await startPolling(t);
    await create(spiffe(endpoint.url, root.pem));
    assert.equal(federation.get(OTHER).status.state, 'revoked');
    assert.deepEqual(registry.federatedBundles.get(OTHER)!.x509Authorities, []);
    assert.ok(lines.some(({ level, msg }) => level === 50 && /withdrawn all its authorities/.test(String(msg))));
    await refused(federation.refresh(OTHER, false), 'bootstrap', /no authority any more; get the present bundle/);
  });
});

describe('an endpoint of https_web', { timeout: 60_000 }, () => {
  test('is known by the host of its URL under the given CA', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    endpoint.answer(DOCUMENT);
    const { create, federation } = await startPolling(t);
    const made = await create(web(endpoint.url, root.pem));
    assert.equal(made.fetchError, undefined);
    endpoint.present(await root.leaf({ hosts: ['127.0.0.2', 'localhost'] }));
    await refused(federation.refresh(OTHER, false), 'identity', /not of the host 127\.0\.0\.1/);
    endpoint.present(svid);
    await refused(federation.refresh(OTHER, false), 'identity', /has the SPIFFE ID .*probably https_spiffe/);
    endpoint.present(await root.leaf({}));
    await refused(federation.refresh(OTHER, false), 'identity', /not of the host/);
    endpoint.present(await next.leaf({ hosts: ['127.0.0.1'] }));
    await refused(federation.refresh(OTHER, false), 'certificate', /not signed by the CA of the relationship/);
    endpoint.present(await root.leaf({ hosts: ['127.0.0.1'], notAfter: Date.now() - 1_000 }));
    await refused(federation.refresh(OTHER, false), 'expired', /has expired/);
    assert.equal(federation.get(OTHER).status.state, 'failing');
  });

  test('is refused without a CA of its own, if no public CA signed', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    const { create } = await startPolling(t);
    const { fetchError } = await create(web(endpoint.url, null));
    assert.match(fetchError!.message, /not signed by a public CA/);
    assert.deepEqual(endpoint.requests, []);
  });
});

describe('a document', { timeout: 60_000 }, () => {
  const big = `{"keys":[],"x":"${'x'.repeat(20 * 1024 * 1024)}"}`;
  const jwt = { kty: 'EC', crv: 'P-256', ...pick(root.key, 'x', 'y'), use: 'jwt-svid' };
  const taken: Record<string, readonly [document: object | string, x509: number, jwt: number]> = {
    'a key of the use wit-svid, or of none': [
      bundleOf(root.key, { ...next.key, use: 'wit-svid' }, { kty: 'EC' }),
      1,
      0,
    ],
    'x5c of 2': [bundleOf({ ...root.key, x5c: [...(root.key.x5c as string[]), 'AAAA'] }), 1, 0],
    'a key without x5c': [bundleOf(root.key, { ...next.key, x5c: undefined }), 1, 0],
    'a JWT key without kid': [bundleOf(root.key, jwt), 1, 0],
    'a key of an unknown type': [bundleOf(root.key, { kty: 'AKP', use: 'x509-svid' }), 1, 0],
    'JWT keys, with members that nobody knows': [
      bundleOf(root.key, { ...jwt, kid: 'a', alg: 'ES256', key_ops: [] }),
      1,
      1,
    ],
    'a kid on an X.509 key': [bundleOf({ ...root.key, kid: 'a' }), 1, 0],
    'faulty numbers': [{ ...DOCUMENT, spiffe_sequence: '7', spiffe_refresh_hint: '60' }, 1, 0],
    'negative numbers': [{ ...DOCUMENT, spiffe_sequence: -1, spiffe_refresh_hint: -1 }, 1, 0],
    'a hint of 1e9': [{ ...DOCUMENT, spiffe_refresh_hint: 1e9 }, 1, 0],
    'a number of 64 bits': [`{"spiffe_sequence":18446744073709551615,"keys":[${JSON.stringify(root.key)}]}`, 1, 0],
    'blanks around it': [` \n${JSON.stringify(DOCUMENT)}\n `, 1, 0],
    'an authority of another trust domain, beside its own': [bundleOf(root.key, thief.key), 1, 0],
  };
  const refusedBodies: Record<string, readonly [body: string | Buffer, problem: RegExp]> = {
    '{}': ['{}', /\/keys: a SPIFFE bundle is/],
    null: ['null', /not a SPIFFE bundle/],
    'keys: null': ['{"keys":null}', /\/keys/],
    'a list': ['[]', /not a SPIFFE bundle/],
    HTML: ['<html>secret-word</html>', /not JSON/],
    nothing: ['', /empty/],
    'a byte order mark': [`\ufeff${JSON.stringify(DOCUMENT)}`, /not JSON/],
    'garbage after it': [`${JSON.stringify(DOCUMENT)} secret-word`, /not JSON/],
    'bytes that are not UTF-8': [Buffer.from([0x7b, 0xff, 0x7d]), /not JSON/],
    '20 MB': [big, /more than 1048576 bytes/],
    'deep nesting': ['['.repeat(100_000), /nested|JSON/],
  };

  test('is read as the specification says', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    for (const [what, [document, x509, jwts]] of Object.entries(taken)) {
      endpoint.answer(document);
      const { create, registry, federation, close } = await startPolling(t);
      const { fetchError } = await create(web(endpoint.url, root.pem));
      assert.equal(fetchError, undefined, `${what}: ${fetchError?.message}`);
      const bundle = registry.federatedBundles.get(OTHER)!;
      assert.deepEqual([bundle.x509Authorities.length, bundle.jwtAuthorities.length], [x509, jwts], what);
      const { nextPollAt, lastSuccessAt } = federation.get(OTHER).status;
      const wait = nextPollAt! - lastSuccessAt!;
      assert.ok(wait >= 1_000 && wait <= 3_600_000, `${what}: ${wait}`);
      if (what === 'a number of 64 bits') assert.equal(bundle.statedSequence, 2n ** 64n - 1n);
      await close();
    }
  });

  test('that is no bundle is refused, the last good one stays, and no word of it is told', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    endpoint.answer(DOCUMENT);
    const { create, registry, federation, lines } = await startPolling(t);
    await create(web(endpoint.url, root.pem));
    const before = registry.federatedBundles.get(OTHER);
    for (const [what, [body, problem]] of Object.entries(refusedBodies)) {
      endpoint.answer(body);
      await refused(federation.refresh(OTHER, false), 'document', problem);
      assert.equal(registry.federatedBundles.get(OTHER), before, what);
    }
    for (const status of [204, 206, 304, 400, 401, 404, 500, 503]) {
      endpoint.answer((_request, response) => response.writeHead(status).end('secret-word'));
      await refused(federation.refresh(OTHER, false), 'status', new RegExp(`status ${status}`));
    }
    endpoint.answer((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(big));
    });
    await refused(federation.refresh(OTHER, false), 'document', /compressed/);
    endpoint.answer((_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{');
      setImmediate(() => response.destroy());
    });
    await refused(federation.refresh(OTHER, false), 'connection', /can not be asked|ended before/);
    endpoint.answer((_request, response) => {
      response.writeHead(200, Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`x-${i}`, 'y'.repeat(100)])));
      response.end('{}');
    });
    await refused(federation.refresh(OTHER, false), 'connection', /headers have more than/);
    assert.doesNotMatch(JSON.stringify([lines, federation.get(OTHER).status]), /secret-word/);
    assert.equal(registry.federatedBundles.get(OTHER), before);
    endpoint.answer(DOCUMENT);
    assert.deepEqual(await federation.refresh(OTHER, false), { changed: false });
    assert.deepEqual([federation.get(OTHER).status.state, federation.get(OTHER).status.failures], ['fresh', 0]);
  });

  test('that comes too slowly is given up', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    const { create } = await startPolling(t, { timeoutMs: 300 });
    const slow: Record<string, Answer> = {
      'no answer': () => undefined,
      'drops of a body': (_request, response) => {
        response.writeHead(200);
        const timer = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(timer));
      },
    };
    for (const [what, answer] of Object.entries(slow)) {
      endpoint.answer(answer);
      const domain = `${what.replaceAll(' ', '-')}.example`;
      const { fetchError } = await create(web(endpoint.url, root.pem, { trust_domain: domain }));
      assert.equal(fetchError?.extra.reason, 'timeout', what);
    }
  });

  test('with a lower sequence number than before, or none, is taken only by force; the same one with other keys is told', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    endpoint.answer({ ...DOCUMENT, spiffe_sequence: 5 });
    const { create, registry, federation, lines } = await startPolling(t);
    await create(web(endpoint.url, root.pem));
    for (const spiffe_sequence of [4, undefined]) {
      endpoint.answer({ ...bundleOf(next.key), spiffe_sequence });
      await refused(federation.refresh(OTHER, false), 'sequence', /--force/);
      assert.deepEqual(registry.federatedBundles.get(OTHER)!.x509Authorities, [root.certificate.raw]);
    }
    endpoint.answer({ ...bundleOf(next.key), spiffe_sequence: 5 });
    assert.deepEqual(await federation.refresh(OTHER, false), { changed: true });
    assert.ok(lines.some(({ msg }) => /same sequence number/.test(String(msg))));
    endpoint.answer({ ...bundleOf(root.key), spiffe_sequence: 4 });
    assert.deepEqual(await federation.refresh(OTHER, true), { changed: true });
    assert.equal(registry.federatedBundles.get(OTHER)!.statedSequence, 4n);
  });
});

describe('a redirect', { timeout: 60_000 }, () => {
  test('is followed three times, to https only, by the same rules, and never remembered', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    const { create, federation } = await startPolling(t);
    const to =
      (location: string): Answer =>
      (_request, response) =>
        response.writeHead(302, { location }).end('x');
    endpoint.answer((request, response) => {
      const hops = Number(request.url!.slice(1) || 0);
      if (hops < 3) response.writeHead(307, { location: `/${hops + 1}` }).end();
      else response.end(JSON.stringify(DOCUMENT));
    });
    assert.equal((await create(web(endpoint.url, root.pem))).fetchError, undefined);
    assert.deepEqual(endpoint.requests, ['GET /', 'GET /1', 'GET /2', 'GET /3']);
    await federation.refresh(OTHER, false);
    assert.equal(endpoint.requests[4], 'GET /');
    endpoint.answer(to('/again'));
    await refused(federation.refresh(OTHER, false), 'redirect', /more than 3 times/);
    const plain = createServer((_request, response) => response.end(JSON.stringify(DOCUMENT)));
    let asked = 0;
    plain.on('connection', () => {
      asked += 1;
    });
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    t.after(() => plain.close());
    const { port } = plain.address() as AddressInfo;
    const rows: readonly (readonly [location: string, reason: string, problem: RegExp])[] = [
      [`http://127.0.0.1:${port}/`, 'redirect', /http:, which is not https/],
      ['file:///etc/passwd', 'redirect', /not https/],
      ['https://user:secret-word@127.0.0.1/', 'redirect', /user name/],
      ['https://', 'redirect', /Location/],
      ['https://10.0.0.1/', 'address', /10\.0\.0\.1 is a private network; .*--federation-allow/],
      ['https://169.254.169.254/latest/meta-data', 'address', /link-local/],
      ['https://2130706433:1/', 'connection', /can not be asked/],
      ['https://[::1]:1/', 'address', /loopback/],
      ['https://[::ffff:10.0.0.1]/', 'address', /form of IPv6/],
      ['https://0x0a000001/', 'address', /private/],
    ];
    for (const [location, reason, problem] of rows) {
      endpoint.answer(to(location));
      await refused(federation.refresh(OTHER, false), reason, problem);
    }
    assert.equal(asked, 0, 'a redirect to http was dialled');
  });

  test('leads only to an endpoint with the same SPIFFE ID', async (t) => {
    const [endpoint, other] = [await bundleEndpoint(t, svid), await bundleEndpoint(t, svid)];
    other.answer(DOCUMENT);
    endpoint.answer((_request, response) => response.writeHead(302, { location: other.url }).end());
    const { create, federation } = await startPolling(t);
    assert.equal((await create(spiffe(endpoint.url, root.pem))).fetchError, undefined);
    other.present(await root.leaf({ uris: ['spiffe://other.example/web'] }));
    await refused(federation.refresh(OTHER, false), 'identity', /is expected/);
  });
});

describe('a host', { timeout: 60_000 }, () => {
  test('whose addresses are not public is refused in the look-up that the socket uses', async (t) => {
    const endpoint = await bundleEndpoint(t, await root.leaf({ hosts: ['partner.example'] }));
    endpoint.answer(DOCUMENT);
    const url = `https://partner.example:${endpoint.port}/`;
    let looked = 0;
    // Public at the first look, loopback at the second: what is checked must be what is dialled.
    const resolve = (
      _host: string,
      callback: (error: null, addresses: { address: string; family: number }[]) => void,
    ) => {
      looked += 1;
      callback(null, [{ address: '127.0.0.1', family: 4 }]);
    };
    const closed = await startPolling(t, { resolve, allowed: [] });
    const { fetchError } = await closed.create(web(url, root.pem));
    assert.equal(fetchError?.extra.reason, 'address');
    assert.match(fetchError!.message, /partner\.example may not be asked: 127\.0\.0\.1 is loopback/);
    assert.deepEqual([looked, endpoint.requests.length], [1, 0], 'it was looked up again after the check');
    const open = await startPolling(t, { resolve });
    assert.equal((await open.create(web(url, root.pem))).fetchError, undefined);
    const mixed = await startPolling(t, {
      resolve: (_host, callback) =>
        callback(null, [
          { address: '10.0.0.1', family: 4 },
          { address: '127.0.0.1', family: 4 },
        ]),
    });
    assert.equal(
      (await mixed.create(web(url, root.pem))).fetchError,
      undefined,
      'a refused address beside an allowed one',
    );
  });

  test('without an address, or that nobody answers at, is told', async (t) => {
    const { create } = await startPolling(t, {
      resolve: (_host, callback) => callback(Object.assign(new Error('secret-word'), { code: 'ENOTFOUND' }), []),
    });
    const none = await create(web('https://nowhere.example/', root.pem));
    assert.match(none.fetchError!.message, /nowhere\.example has no address \(ENOTFOUND\)/);
    const shut = await create(web('https://127.0.0.1:1/', root.pem, { trust_domain: 'third.example' }));
    assert.match(shut.fetchError!.message, /ECONNREFUSED/);
  });
});

describe('polls', { timeout: 60_000 }, () => {
  test('come at the hint, at most one at a time, and end with the relationship', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    let running = 0;
    let most = 0;
    endpoint.answer((_request, response) => {
      running += 1;
      most = Math.max(most, running);
      setTimeout(() => {
        running -= 1;
        response.end(JSON.stringify({ ...DOCUMENT, spiffe_refresh_hint: 120 }));
      }, 20);
    });
    const { create, federation, registry, clock } = await startPolling(t);
    await create(web(endpoint.url, root.pem));
    const { nextPollAt, lastSuccessAt } = federation.get(OTHER).status;
    assert.equal(nextPollAt! - lastSuccessAt!, 120_000);
    await Promise.all(Array.from({ length: 5 }, () => federation.refresh(OTHER, false)));
    assert.deepEqual([most, endpoint.requests.length], [1, 2]);
    clock.advance(119_999);
    assert.equal(endpoint.requests.length, 2);
    clock.advance(1);
    await federation.refresh(OTHER, false);
    assert.equal(endpoint.requests.length, 3, 'a refresh joins the poll that runs');
    await federation.delete(OTHER);
    assert.equal(registry.federatedBundles.get(OTHER), undefined, 'its bundle goes with it');
    clock.advance(10_000_000);
    assert.equal(endpoint.requests.length, 3);
    await assert.rejects(federation.refresh(OTHER, false), { code: 'ERR_NOT_FOUND' });
  });

  test('of a deleted or changed relationship store nothing', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    const arrived = Promise.withResolvers<void>();
    endpoint.answer(() => arrived.resolve());
    const { create, federation, registry } = await startPolling(t);
    const creating = create(web(endpoint.url, root.pem));
    await arrived.promise;
    await federation.delete(OTHER);
    await assert.rejects(creating, { code: 'ERR_NOT_FOUND' });
    assert.deepEqual(registry.federatedBundles.list(), []);
  });

  test('go on after failures, and a partner that fails stops no other', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    endpoint.answer(DOCUMENT);
    const { create, federation, clock } = await startPolling(t);
    await create(web('https://127.0.0.1:1/', root.pem, { trust_domain: 'down.example' }));
    await create(web(endpoint.url, root.pem));
    const { status } = federation.list()[0]!;
    assert.deepEqual([status.state, status.failures, status.error?.reason], ['failing', 1, 'connection']);
    assert.equal(status.nextPollAt! - clock.now(), 60_000, 'no hammering');
    assert.equal(federation.get(OTHER).status.state, 'fresh');
  });

  test('replace a bundle that was set by hand, and say so', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    endpoint.answer(DOCUMENT);
    const { create, registry, lines, federation } = await startPolling(t);
    await create(web(endpoint.url, root.pem));
    const byHand = { jwtAuthorities: [], sequenceNumber: undefined, refreshHint: undefined };
    await registry.federatedBundles.set(OTHER, { x509Authorities: [next.certificate.raw], ...byHand });
    assert.equal(registry.federatedBundles.get(OTHER)!.source, 'manual');
    await federation.refresh(OTHER, false);
    assert.equal(registry.federatedBundles.get(OTHER)!.source, 'polled');
    assert.ok(lines.some(({ level, msg }) => level === 40 && /set by hand is replaced/.test(String(msg))));
  });

  test('do not replace a bundle that is set by hand meanwhile, as after a root of the partner was stolen', async (t) => {
    const endpoint = await bundleEndpoint(t, svid);
    endpoint.answer(DOCUMENT);
    const { create, registry, federation } = await startPolling(t);
    await create(spiffe(endpoint.url, root.pem));
    const asked = Promise.withResolvers<() => void>();
    endpoint.answer((_request, response) =>
      asked.resolve(() => response.end(JSON.stringify({ ...bundleOf(root.key, thief.key), spiffe_sequence: 9 }))),
    );
    const refreshing = federation.refresh(OTHER, false);
    const answer = await asked.promise;
    const byHand = { jwtAuthorities: [], sequenceNumber: undefined, refreshHint: undefined };
    await registry.federatedBundles.set(OTHER, { x509Authorities: [next.certificate.raw], ...byHand });
    answer();
    await refused(refreshing, 'certificate', /not signed by an authority of the bundle/);
    assert.deepEqual(registry.federatedBundles.get(OTHER)!.x509Authorities, [next.certificate.raw]);
    assert.equal(federation.get(OTHER).status.state, 'stale-bootstrap');
  });

  test('take the next document if the bundle of https_web is set by hand meanwhile', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    endpoint.answer(DOCUMENT);
    const { create, registry, federation } = await startPolling(t);
    await create(web(endpoint.url, root.pem));
    const asked = Promise.withResolvers<() => void>();
    endpoint.answer((_request, response) => {
      endpoint.answer({ ...bundleOf(next.key), spiffe_sequence: 3 });
      asked.resolve(() => response.end(JSON.stringify({ ...bundleOf(thief.key), spiffe_sequence: 2 })));
    });
    const refreshing = federation.refresh(OTHER, false);
    const answer = await asked.promise;
    const byHand = { jwtAuthorities: [], sequenceNumber: undefined, refreshHint: undefined };
    await registry.federatedBundles.set(OTHER, {
      x509Authorities: [root.certificate.raw, next.certificate.raw],
      ...byHand,
    });
    answer();
    assert.deepEqual(await refreshing, { changed: true });
    assert.equal(endpoint.requests.length, 3);
    assert.deepEqual(registry.federatedBundles.get(OTHER)!.x509Authorities, [next.certificate.raw]);
  });

  test('of partners that answer slowly do not delay those of others', async (t) => {
    const slow = await bundleEndpoint(t, host);
    slow.answer(() => undefined);
    const good = await bundleEndpoint(t, host);
    good.answer(DOCUMENT);
    const { create, federation } = await startPolling(t, { timeoutMs: 600 });
    await create(web(good.url, root.pem));
    const names = Array.from({ length: 40 }, (_, at) => `slow${at}.example`);
    await Promise.all(names.map((name) => create(web(slow.url, root.pem, { trust_domain: name }))));
    let ended = 0;
    const waiting = names.map((name) =>
      federation.refresh(parseTrustDomain(name), false).catch(() => {
        ended += 1;
      }),
    );
    await federation.refresh(OTHER, false);
    assert.equal(ended, 0, 'the good one does not wait for a turn behind 40 slow ones');
    await Promise.all(waiting);
  });
});

describe('a relationship and its bundle', () => {
  test('are stored together: a change that comes too late leaves the bundle as it is', async (t) => {
    const endpoint = await bundleEndpoint(t, svid);
    endpoint.answer(DOCUMENT);
    const { create, registry, federation } = await startPolling(t);
    await create(spiffe(endpoint.url, root.pem));
    const ifRevision = federation.get(OTHER).revision;
    const change = (path: string, pem: string) =>
      federation.set(given(spiffe(`${endpoint.url}${path}`, pem)), { as: 'update', bundle: 'replace', ifRevision });
    const [first, second] = await Promise.allSettled([change('a', root.pem), change('b', next.pem)]);
    assert.equal(first.status, 'fulfilled');
    assert.ok(second.status === 'rejected');
    assert.equal((second.reason as SidekeyError).code, 'ERR_REVISION');
    assert.deepEqual(registry.federatedBundles.get(OTHER)!.x509Authorities, [root.certificate.raw]);
    assert.equal(federation.get(OTHER).relationship.url, `${endpoint.url}a`);
  });
});

describe('a bundle with a root of this trust domain', () => {
  test('is taken, since both may be under one CA, and the log says so once', async (t) => {
    const endpoint = await bundleEndpoint(t, host);
    endpoint.answer(bundleOf(root.key, next.key));
    const own = makeTrustBundle({
      ...{ trustDomain: TRUST_DOMAIN, roots: [next.certificate], sequenceNumber: 1, refreshHint: 300 },
    });
    const { create, federation, registry, lines } = await startPolling(t, { ca: { bundle: () => own } });
    await create(web(endpoint.url, root.pem));
    const told = () =>
      lines.filter(({ level, msg }) => level === 40 && /has a root of this trust domain/.test(String(msg))).length;
    assert.equal(told(), 1);
    assert.equal(registry.federatedBundles.get(OTHER)!.x509Authorities.length, 2);
    endpoint.answer({ ...bundleOf(root.key, next.key), spiffe_refresh_hint: 120 });
    await federation.refresh(OTHER, false);
    assert.equal(told(), 1, 'the same authorities again');
    endpoint.answer({ ...bundleOf(root.key), spiffe_sequence: 2 });
    await federation.refresh(OTHER, false);
    assert.equal(told(), 1, 'it has none of ours any more');
  });
});

describe('look-ups', () => {
  test('that no fetch waits for any more are not done: a slow name server does not make a queue', async (t) => {
    const asked: (() => void)[] = [];
    const resolve: Resolve = (_host, callback) =>
      void asked.push(() => callback(null, [{ address: '127.0.0.1', family: 4 }]));
    const { create, federation } = await startPolling(t, { timeoutMs: 300, resolve });
    const names = Array.from({ length: 6 }, (_, at) => `d${at}.example`);
    await Promise.all(names.map((name) => create(web(`https://${name}/`, root.pem, { trust_domain: name }))));
    assert.deepEqual(new Set(federation.list().map(({ status }) => status.error?.reason)), new Set(['timeout']));
    const begun = asked.length;
    assert.ok(begun < names.length);
    for (const answer of asked) answer();
    await new Promise((done) => setImmediate(done));
    assert.equal(asked.length, begun);
  });
});

function pick(from: Record<string, unknown>, ...names: string[]): object {
  return Object.fromEntries(names.map((name) => [name, from[name]]));
}
