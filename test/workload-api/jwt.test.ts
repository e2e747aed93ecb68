/** JWT-SVIDs by the Workload API: a real server on real sockets, with a clock of the test's own. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { Status } from '../../src/wire/types.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { HEADER, WorkloadClient } from '../support/workload-client.ts';

const WEB = 'spiffe://ilinux.io/web';
const API = 'spiffe://ilinux.io/api';

async function start(t: TestContext, flags: Record<string, string> = {}) {
  const server = await startInnerServer(t, flags);
  return { ...server, client: new WorkloadClient(t, server.socket) };
}

async function keysOf(client: WorkloadClient): Promise<JSONWebKeySet> {
  const stream = client.jwtBundles();
  const { bundles } = await stream.next();
  stream.cancel();
  return JSON.parse(bundles['spiffe://ilinux.io']!.toString());
}

describe('FetchJWTSVID', { timeout: 60_000 }, () => {
  it('gives a token for each identity, the default first, that the keys of the bundle verify', async (t) => {
    const { client, create, clock } = await start(t);
    await create(API, { hint: 'internal' });
    clock.advance(1_000);
    await create(WEB, { hint: 'default', jwt_svid_ttl: 60 });
    const svids = await client.jwtSvids(['db', 'cache']);
    assert.deepEqual(
      svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
      [
        [WEB, 'default'],
        [API, 'internal'],
      ],
    );
    const keys = createLocalJWKSet(await keysOf(client));
    for (const { spiffeId, svid } of svids) {
      const { payload } = await jwtVerify(svid, keys, { audience: 'db', currentDate: new Date(clock.now()) });
      assert.deepEqual([payload.sub, payload.aud], [spiffeId, ['cache', 'db']]);
      assert.equal(payload.exp, clock.now() / 1_000 + (spiffeId === WEB ? 60 : 300));
      assert.deepEqual(Object.keys(decodeProtectedHeader(svid)).sort(), ['alg', 'kid', 'typ']);
    }
  });

  it('gives the same token again for the same audiences, and others for others', async (t) => {
    const { client, create } = await start(t);
    await create(WEB);
    const [first] = await client.jwtSvids(['a', 'b']);
    const [again] = await client.jwtSvids(['b', 'a', 'a']);
    const [other] = await client.jwtSvids(['a']);
    assert.equal(again!.svid, first!.svid);
    assert.notEqual(other!.svid, first!.svid);
  });

  it('gives one identity alone if the caller asks for it, and refuses one that is not its own', async (t) => {
    const { client, create } = await start(t);
    await create(WEB);
    await create(API, { selectors: [{ type: 'unix', value: 'uid:4242' }] });
    assert.deepEqual(
      (await client.jwtSvids(['db'], WEB)).map(({ spiffeId }) => spiffeId),
      [WEB],
    );
    for (const id of [API, 'spiffe://ilinux.io/other', 'spiffe://other.example/web']) {
      await assert.rejects(client.jwtSvids(['db'], id), {
        code: Status.PERMISSION_DENIED,
        details: 'no identity issued',
      });
    }
    await assert.rejects(client.jwtSvids(['db'], 'web'), {
      code: Status.INVALID_ARGUMENT,
      details: /^invalid requested SPIFFE ID: /,
    });
  });

  it('refuses a caller without an identity, or that has lost it', async (t) => {
    const { client, create, admin } = await start(t);
    const denied = { code: Status.PERMISSION_DENIED, details: 'no identity issued' };
    await assert.rejects(client.jwtSvids(['db']), denied);
    const id = await create(WEB);
    await client.jwtSvids(['db']);
    await admin.deleteEntry({ path: { id } });
    await assert.rejects(client.jwtSvids(['db']), denied);
  });

  const AUDIENCES: Readonly<Record<string, readonly string[]>> = {
    none: [],
    'a blank one': [''],
    spaces: ['  '],
    'a blank one beside another': ['db', ''],
    '10,000': Array.from({ length: 10_000 }, (_, i) => `a${i}`),
    'one of 1 MB': ['a'.repeat(900_000)],
    'one with a control character': ['a\u0000b'],
  };
  for (const [what, audience] of Object.entries(AUDIENCES)) {
    it(`refuses these audiences: ${what}`, async (t) => {
      const { client, create } = await start(t);
      await create(WEB);
      await assert.rejects(client.jwtSvids(audience), { code: Status.INVALID_ARGUMENT, details: /audience/ });
    });
  }
});

describe('ValidateJWTSVID', { timeout: 60_000 }, () => {
  it('returns the identity and the claims of a token for this audience', async (t) => {
    const { client, create, clock } = await start(t);
    await create(WEB);
    const { svid } = (await client.jwtSvids(['db']))[0]!;
    const { spiffeId, claims } = await client.validate('db', svid);
    assert.equal(spiffeId, WEB);
    assert.deepEqual([claims!.sub, claims!.aud, claims!.exp], [WEB, ['db'], clock.now() / 1_000 + 300]);
  });

  it('refuses what is not valid, with the reason', async (t) => {
    const { client, create, clock } = await start(t);
    await create(WEB);
    const { svid } = (await client.jwtSvids(['db']))[0]!;
    const refused = (details: RegExp) => ({ code: Status.INVALID_ARGUMENT, details });
    await assert.rejects(client.validate('other', svid), refused(/not for the audience "other"/));
    await assert.rejects(client.validate('', svid), refused(/audience must be specified/));
    await assert.rejects(client.validate('db', ''), refused(/token is missing/));
    await assert.rejects(client.validate('db', `${svid}.`), refused(/compact form/));
    await assert.rejects(client.validate('db', `${svid.slice(0, -4)}AAAA`), refused(/signature/));
    await assert.rejects(client.validate('db', 'a'.repeat(900_000)), refused(/limit/));
    clock.set(clock.now() + 400_000);
    await assert.rejects(client.validate('db', svid), refused(/has expired/));
  });

  it('refuses a caller without an identity', async (t) => {
    const { client } = await start(t);
    await assert.rejects(client.validate('db', 'a.b.c'), { code: Status.PERMISSION_DENIED });
  });
});

it('both need the security header', async (t) => {
  const { client, create } = await start(t);
  await create(WEB);
  const missing = { code: Status.INVALID_ARGUMENT, details: /^security header missing from request/ };
  await assert.rejects(client.jwtSvids(['db'], '', {}), missing);
  await assert.rejects(client.validate('db', 'x', { ...HEADER, 'workload.spiffe.io': ['TRUE'] }), missing);
});

it('a taint of the key that signs ends its tokens in the cache, and the next key signs at once', async (t) => {
  const { client, create, admin } = await start(t);
  await create(WEB);
  const [before] = await client.jwtSvids(['db']);
  const kid = decodeProtectedHeader(before!.svid).kid!;
  await admin.taintAuthority({ path: { id: kid } });
  const [after] = await client.jwtSvids(['db']);
  assert.notEqual(decodeProtectedHeader(after!.svid).kid, kid);
  assert.ok((await keysOf(client)).keys.every((key) => key.kid !== kid));
  await assert.rejects(client.validate('db', before!.svid), { code: Status.INVALID_ARGUMENT, details: /kid/ });
});
