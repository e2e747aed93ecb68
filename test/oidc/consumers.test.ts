/**
 * Real consumers of OIDC discovery, through replacements of the key: Envoy's jwt_authn, jose, and PyJWT, where
 * `$PYJWT_PYTHON` names a Python that has it (pip install PyJWT==2.15.1 cryptography).
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it, type TestContext, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { startOidcProvider } from '../../src/oidc/provider.ts';
import { SECOND } from '../ca/support.ts';
import { openTestJwtSvids, REQUEST, WEB } from '../jwt/support.ts';
import { TestClock } from '../support/clock.ts';
import { envoyForTests } from '../support/envoy.ts';
import { run } from '../support/run.ts';
import { httpFilter, startEnvoy } from '../support/running-envoy.ts';

/** How long a key is published before it signs, in seconds: consumers fetch the keys more often than that. */
const PUBLISH_BEFORE = 5;

async function openProvider(t: TestContext, keyType: 'ec-p256' | 'ec-p384' | 'rsa-2048' = 'ec-p256') {
  const [port] = await freePorts(1);
  const issuer = `http://127.0.0.1:${port}/tokens`;
  const keys = { keyType, keyTtl: 3_600, publishBefore: PUBLISH_BEFORE };
  const all = await openTestJwtSvids(t, { issuer }, { jwt: keys }, new TestClock(Date.now()));
  const { ca, clock, log } = all;
  const listen = { host: '127.0.0.1', port: port! };
  const provider = await startOidcProvider({ listen, issuer, tls: undefined, ca, maxConnections: 10, clock, log });
  t.after(() => provider.close());
  let asked = 0;
  /** A new token each time. */
  const token = () => {
    asked += 1;
    return all.jwt.sign({ ...REQUEST, audiences: ['web', `${asked}`] });
  };
  return { ...all, issuer, port: port!, token };
}

type Provider = Awaited<ReturnType<typeof openProvider>>;

/** Replaces the key. Returns the old one and the new one. */
async function rotate({ ca, clock }: Provider): Promise<[string, string]> {
  const { keyId } = await ca.jwtSigner();
  await ca.rotate('jwt');
  clock.advance(PUBLISH_BEFORE * SECOND);
  let next = keyId;
  while (next === keyId) next = (await ca.jwtSigner()).keyId;
  return [keyId, next];
}

const TYPE = 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication';

function bootstrap(listen: number, { issuer, port }: Provider) {
  const filter = httpFilter();
  const authn = {
    '@type': TYPE,
    providers: {
      sidekey: {
        issuer,
        audiences: ['web'],
        subjects: { prefix: 'spiffe://ilinux.io/' },
        require_expiration: true,
        remote_jwks: {
          http_uri: { uri: `${issuer}/keys`, cluster: 'oidc', timeout: '2s' },
          cache_duration: '1s',
          async_fetch: { fast_listener: false },
        },
      },
    },
    rules: [{ match: { prefix: '/' }, requires: { provider_name: 'sidekey' } }],
  };
  const filters = [{ name: 'envoy.filters.http.jwt_authn', typed_config: authn }, ...filter.typed_config.http_filters];
  const manager = { ...filter, typed_config: { ...filter.typed_config, http_filters: filters } };
  const address = (value: number) => ({ socket_address: { address: '127.0.0.1', port_value: value } });
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }];
  return {
    static_resources: {
      listeners: [{ address: address(listen), filter_chains: [{ filters: [manager] }] }],
      clusters: [{ name: 'oidc', connect_timeout: '1s', load_assignment: { cluster_name: 'oidc', endpoints } }],
    },
  };
}

const found = await envoyForTests();

describe("Envoy's jwt_authn with remote keys", { skip: found.skip, timeout: 60_000 }, () => {
  it('accepts every token through two replacements of the key and a taint, and refuses the tainted one', async (t) => {
    assert.ok(found.skip === false);
    const provider = await openProvider(t);
    const { ca, token } = provider;
    const [listen] = await freePorts(1);
    const envoy = await startEnvoy(t, found.envoy.path, bootstrap(listen!, provider));
    await envoy.live();
    const ask = async (text: string) =>
      (await fetch(`http://127.0.0.1:${listen}/`, { headers: { authorization: `Bearer ${text}` } })).status;
    const fetches = () => envoy.stat('http.http.jwt_authn.jwks_fetch_success');
    /** Keys that are published now are known when Envoy has begun and ended another fetch. */
    const fetched = async () => {
      const before = await fetches();
      await wait('Envoy to fetch the keys', { look: fetches, until: (now) => now >= before + 2, within: 20_000 });
    };
    const first = await token();
    assert.equal(await ask(first.token), 200);
    assert.equal(await ask(`${first.token.slice(0, -4)}AAAA`), 401);
    for (let i = 0; i < 2; i += 1) {
      const [, next] = await rotate(provider);
      const svid = await token();
      assert.equal(svid.keyId, next);
      assert.equal(await ask(svid.token), 200, 'the key was published before it signed');
      assert.equal(await ask(first.token), 200, 'the old key stays for its tokens');
      await fetched();
    }
    const { keyId } = await ca.jwtSigner();
    const old = await token();
    await ca.taint(keyId);
    assert.equal(await ask((await token()).token), 200, 'the next key was published already');
    await fetched();
    assert.equal(await ask(old.token), 401);
  });
});

for (const keyType of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
  test(`jose accepts tokens of ${keyType} keys, before and after a replacement`, async (t) => {
    const provider = await openProvider(t, keyType);
    const { issuer, token } = provider;
    const discovered = JSON.parse((await call(`${issuer}/.well-known/openid-configuration`)).body);
    const keys = createRemoteJWKSet(new URL(discovered.jwks_uri));
    const check = async (text: string) =>
      (await jwtVerify(text, keys, { issuer, audience: 'web', typ: 'JWT' })).payload.sub;
    const first = await token();
    assert.equal(await check(first.token), WEB);
    await rotate(provider);
    assert.equal(await check((await token()).token), WEB);
    assert.equal(await check(first.token), WEB);
    await assert.rejects(jwtVerify(first.token, keys, { issuer: `${issuer}/`, audience: 'web' }), {
      code: 'ERR_JWT_CLAIM_VALIDATION_FAILED',
    });
  });
}

const python = process.env.PYJWT_PYTHON;

function whyNoPython(): string | false {
  if (python === undefined) return 'no PyJWT: $PYJWT_PYTHON names no Python';
  return spawnSync(python, ['-c', 'import jwt, cryptography']).status === 0
    ? false
    : `${python} has no PyJWT with cryptography`;
}

const PROGRAM = `
import jwt, sys
issuer, tokens = sys.argv[1], sys.argv[2:]
keys = jwt.PyJWKClient(issuer + "/keys")
for token in tokens:
    key = keys.get_signing_key_from_jwt(token)
    print(jwt.decode(token, key.key, algorithms=["RS256", "ES256", "ES384"], audience="web", issuer=issuer)["sub"])
`;

test('PyJWT accepts tokens before and after a replacement', { skip: whyNoPython() }, async (t) => {
  const provider = await openProvider(t);
  const first = await provider.token();
  await rotate(provider);
  const second = await provider.token();
  const { status, stdout, stderr } = await run([python!, '-c', PROGRAM, provider.issuer, first.token, second.token]);
  assert.equal(stderr, '');
  assert.equal(status, 0);
  assert.equal(stdout, `${WEB}\n${WEB}\n`);
});
