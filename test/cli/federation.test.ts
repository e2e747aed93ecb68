/** `sidekey federation …` against a real server and a partner's endpoint. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { bundleEndpoint, makeAuthority } from '../support/bundle-endpoint.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { sidekey } from './support.ts';

const PARTNER = 'partner.example';
const ID = `spiffe://${PARTNER}/spire/server`;
const root = await makeAuthority();
const next = await makeAuthority('next root');

async function start(t: TestContext) {
  const endpoint = await bundleEndpoint(t, await root.leaf({ uris: [ID] }));
  endpoint.answer({ keys: [root.key], spiffe_sequence: 7, spiffe_refresh_hint: 300 });
  const { adminSocket, admin } = await startInnerServer(t, { federationAllow: '127.0.0.0/8' });
  const folder = tempDir(t);
  const file = (name: string, content: string | object) => {
    const place = path.join(folder, name);
    writeFileSync(place, typeof content === 'string' ? content : JSON.stringify(content));
    return place;
  };
  const run = (args: readonly string[], stdin?: string) =>
    sidekey(args, { env: { SIDEKEY_ADMIN_SOCKET: adminSocket }, ...(stdin === undefined ? {} : { stdin }) });
  const good = async (args: readonly string[], stdin?: string) => {
    const { status, stdout, stderr } = await run(args, stdin);
    assert.deepEqual([status, stderr], [0, '']);
    return stdout;
  };
  const flags = ['--bundle-endpoint-url', endpoint.url, '--bundle-endpoint-profile', 'https_spiffe'];
  const all = [...flags, '--endpoint-spiffe-id', ID, '--trust-domain-bundle-path', file('partner.pem', root.pem)];
  return { endpoint, admin, file, run, good, all, flags };
}

/** An element of SPIRE's federation.json. */
function element(url: string, more: object = {}): object {
  return {
    trustDomain: PARTNER,
    bundleEndpointURL: url,
    bundleEndpointProfile: 'https_spiffe',
    endpointSPIFFEID: ID,
    trustDomainBundle: root.pem,
    trustDomainBundleFormat: 'pem',
    ...more,
  };
}

describe('sidekey federation', { timeout: 240_000 }, () => {
  test('create, show, list, update, refresh and delete a relationship', async (t) => {
    const { endpoint, run, good, all } = await start(t);
    const made = await good(['federation', 'create', PARTNER, ...all]);
    assert.match(made, /^change +created\n/);
    assert.match(made, /^state +fresh$/m);
    assert.match(made, /^bundle +polled, sequence 7, /m);
    assert.match(await good(['federation', 'show', PARTNER]), /^endpoint SPIFFE ID +spiffe:\/\/partner\.example/m);
    assert.match(
      await good(['federation', 'list', '-o', 'wide']),
      /^partner\.example +fresh +7 .*https_spiffe +https:/m,
    );
    assert.equal(await good(['federation', 'list', '-o', 'name']), `${PARTNER}\n`);

    const again = await run(['federation', 'create', PARTNER, ...all]);
    assert.equal(again.status, 1);
    assert.match(
      again.stderr,
      /sidekey federation update.*\(ERR_RELATIONSHIP\)|ERR_RELATIONSHIP.*sidekey federation update/s,
    );

    const shown = await good(['federation', 'show', PARTNER, '-o', 'json']);
    const revision = String((JSON.parse(shown) as { revision_number: number }).revision_number);
    const unchanged = await good(['federation', 'update', PARTNER, ...all, '--if-match', revision]);
    assert.match(unchanged, /^change +unchanged\n/);
    const late = await run(['federation', 'update', PARTNER, ...all, '--if-match', '999']);
    assert.equal(late.status, 1);
    assert.match(late.stderr, /ERR_REVISION/);

    assert.match(await good(['federation', 'refresh', PARTNER]), /^fetched +nothing new\n/);
    endpoint.answer({ keys: [root.key, next.key], spiffe_sequence: 6 });
    const old = await run(['federation', 'refresh', PARTNER]);
    assert.equal(old.status, 1);
    assert.match(old.stderr, /sequence number 6, and the present bundle has 7.*--force/);
    assert.match(await good(['federation', 'show', PARTNER]), /^what to do +if its operator confirms that/m);
    assert.match(await good(['federation', 'refresh', PARTNER, '--force']), /^fetched +a new bundle\n/);

    await good(['federation', 'delete', PARTNER]);
    const gone = await run(['federation', 'show', PARTNER]);
    assert.equal(gone.status, 1);
    assert.match(gone.stderr, /there is no federation relationship with partner\.example/);
    assert.equal((await run(['bundle', 'show', PARTNER])).status, 1);
  });

  test('create says what is missing, by the names of the flags, and which file is empty', async (t) => {
    const { run, all, flags, file } = await start(t);
    const refused = async (args: readonly string[], message: RegExp) => {
      const { status, stderr } = await run(['federation', 'create', ...args]);
      assert.notEqual(status, 0);
      assert.match(stderr, message);
    };
    await refused([PARTNER], /--bundle-endpoint-profile.*--bundle-endpoint-url|--bundle-endpoint-url/s);
    await refused([PARTNER, ...flags], /--endpoint-spiffe-id/);
    await refused([PARTNER, ...flags, '--endpoint-spiffe-id', ID], /--trust-domain-bundle-path: it is missing/);
    await refused([PARTNER, ...all.slice(0, -1), file('empty.pem', ' \n')], /empty\.pem is empty/);
    await refused(['ilinux.io', ...all], /trust-domain: .*own trust domain/);
    assert.equal((await run(['federation', 'list', '-o', 'name'])).stdout, '');
  });

  test('create stores a relationship whose endpoint does not answer, and warns', async (t) => {
    const { run, all, endpoint } = await start(t);
    endpoint.answer((_request, response) => response.writeHead(500).end('secret words of the partner'));
    const { status, stdout, stderr } = await run(['federation', 'create', PARTNER, ...all]);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /warning: .*the status 500/);
    assert.match(stdout, /^state +failing$/m);
    assert.doesNotMatch(stdout + stderr, /secret words/);
  });

  test('apply takes a federation.json; a refused relationship leaves all as it was', async (t) => {
    const { good, run, file, endpoint, admin } = await start(t);
    const relationships = async () =>
      (await admin.json<{ relationships: { trust_domain: string; state: string }[] }>('GET', '/v1/federation'))
        .relationships;
    const bad = file('bad.json', {
      federationRelationships: [element(endpoint.url), element('http://clear.example/', { trustDomain: 'b.example' })],
    });
    const refused = await run(['apply', '-f', bad]);
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr, /scheme/);
    // Only the server knows that this one has nothing by which its endpoint is known.
    const {
      trustDomainBundle: _,
      trustDomainBundleFormat: __,
      ...bare
    } = element(endpoint.url) as Record<string, string>;
    const unknown = file('unknown.json', {
      federationRelationships: [
        element(endpoint.url),
        { ...bare, trustDomain: 'b.example', endpointSPIFFEID: 'spiffe://b.example/spire/server' },
      ],
    });
    const second = await run(['apply', '-f', unknown]);
    assert.notEqual(second.status, 0);
    assert.deepEqual(await relationships(), [], second.stderr);

    const fine = file('federation.json', { federationRelationships: [element(endpoint.url)] });
    assert.match(await good(['apply', '-f', fine]), /partner\.example/);
    assert.deepEqual(
      (await relationships()).map(({ trust_domain: name, state }) => [name, state]),
      [[PARTNER, 'fresh']],
    );
    const before = endpoint.requests.length;
    await good(['apply', '-f', fine]);
    assert.equal(endpoint.requests.length, before, 'nothing changed, so nothing is fetched');
  });
});
