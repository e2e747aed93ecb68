/** `sidekey fetch x509|jwt|bundle` and `sidekey validate jwt`, beside a server of the test's own. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import { type InnerServer, startInnerServer } from '../support/inner-server.ts';
import { sidekey } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const API = 'spiffe://ilinux.io/api';

/** The commands are processes of their own, with the same user. */
const as = ({ socket }: InnerServer, stdin = '') => ({ env: { SPIFFE_ENDPOINT_SOCKET: `unix://${socket}` }, stdin });

describe('the Workload API by the command line', { timeout: 120_000, concurrency: true }, () => {
  it('fetch x509 shows the SVIDs, the default first, and never a key', async (t) => {
    const server = await startInnerServer(t);
    await server.create(API, { hint: 'internal' });
    server.clock.advance(1_000);
    await server.create(WEB, { hint: 'default' });
    const { status, stdout, stderr } = await sidekey(['fetch', 'x509', '-o', 'json'], as(server));
    assert.equal(status, 0, stderr);
    const { svids } = JSON.parse(stdout) as { svids: { spiffe_id: string; hint: string; certificate_chain: string }[] };
    assert.deepEqual(
      svids.map(({ spiffe_id: id, hint }) => [id, hint]),
      [
        [WEB, 'default'],
        [API, 'internal'],
      ],
    );
    assert.equal(new X509Certificate(svids[0]!.certificate_chain).subjectAltName, `URI:${WEB}`);
    assert.doesNotMatch(stdout, /PRIVATE KEY/);
    assert.equal((await sidekey(['-o', 'name', 'fetch', 'x509'], as(server))).stdout, `${WEB}\n${API}\n`);
  });

  it('a token of fetch jwt passes validate jwt, for its audience alone', async (t) => {
    const server = await startInnerServer(t);
    await server.create(WEB);
    const fetched = await sidekey(
      ['fetch', 'jwt', '--audience', 'db', '--audience', 'cache', '-o', 'name'],
      as(server),
    );
    assert.equal(fetched.status, 0, fetched.stderr);
    const good = await sidekey(['validate', 'jwt', '--audience', 'db', '-o', 'json'], as(server, fetched.stdout));
    assert.equal(good.status, 0, good.stderr);
    const { spiffe_id: id, claims } = JSON.parse(good.stdout);
    assert.deepEqual([id, claims.aud], [WEB, ['cache', 'db']]);
    const bad = await sidekey(['validate', 'jwt', '--audience', 'web', '--svid', fetched.stdout.trim()], as(server));
    assert.deepEqual([bad.status, bad.stdout], [1, '']);
    assert.match(bad.stderr, /the token is not for the audience "web"/);
  });

  it('fetch bundle has the authorities of both kinds', async (t) => {
    const server = await startInnerServer(t);
    await server.create(WEB);
    const { status, stdout, stderr } = await sidekey(['fetch', 'bundle', '-o', 'json'], as(server));
    assert.equal(status, 0, stderr);
    const [own] = JSON.parse(stdout).bundles;
    assert.equal(own.trust_domain_id, 'spiffe://ilinux.io');
    assert.ok(new X509Certificate(own.x509_authorities).ca);
    assert.ok(own.jwt_authorities.keys.length > 0);
  });

  it('a refusal names the command that says why', async (t) => {
    const server = await startInnerServer(t);
    for (const args of [
      ['fetch', 'x509'],
      ['fetch', 'jwt', '--audience', 'db'],
      ['fetch', 'bundle'],
      ['validate', 'jwt', '--audience', 'db', '--svid', 'a.b.c'],
    ]) {
      const { status, stderr } = await sidekey(args, as(server));
      assert.equal(status, 1, args.join(' '));
      assert.match(
        stderr,
        /no identity issued; as root or the user of the server, .*sidekey explain d-[0-9a-f]{12} says why/,
      );
    }
  });

  it('what is missing is a mistake of the user', async () => {
    for (const args of [
      ['fetch', 'jwt'],
      ['validate', 'jwt'],
      ['validate', 'jwt', '--audience', 'db'],
    ]) {
      const { status } = await sidekey(args, { env: { SIDEKEY_SOCKET: '/nowhere.sock' } });
      assert.equal(status, 2, args.join(' '));
    }
  });
});
