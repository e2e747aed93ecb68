/** Real consumers of OIDC discovery, through replacements of the key: Envoy's jwt_authn, jose, PyJWT and go-oidc. */

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it, test } from 'node:test';
import { promisify } from 'node:util';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { REQUEST, WEB } from '../jwt/support.ts';
import { envoyForTests } from '../support/envoy.ts';
import { kept } from '../support/kept.ts';
import { httpFilter, startEnvoy } from '../support/running-envoy.ts';
import { foundOr, pythonLibraries } from '../workload-api/clients/clients.ts';
import { openProvider, type Provider, rotate } from './support.ts';

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

const PROGRAM = `
import jwt, sys
issuer = sys.argv[1]
keys = jwt.PyJWKClient(issuer + "/keys")
for line in sys.stdin:
    token = line.strip()
    try:
        key = keys.get_signing_key_from_jwt(token)
        print(jwt.decode(token, key.key, algorithms=["RS256", "ES256", "ES384"], audience="web", issuer=issuer)["sub"], flush=True)
    except Exception as error:
        print("refused:", error, flush=True)
`;

const GO_OIDC = path.join(import.meta.dirname, 'go-oidc');

/** Programs that verify the token of each line, and print its subject. */
const VERIFIERS: Readonly<Record<string, () => Promise<readonly string[]>>> = {
  PyJWT: async () => ['env', `PYTHONPATH=${await pythonLibraries()}`, 'python3', '-c', PROGRAM],
  'go-oidc': async () => {
    const folder = await kept(GO_OIDC, async (into) => {
      await promisify(execFile)('go', ['build', '-o', path.join(into, 'verify'), '.'], {
        cwd: GO_OIDC,
        timeout: 240_000,
      });
    });
    return [path.join(folder, 'verify')];
  },
};

for (const [name, command] of Object.entries(VERIFIERS)) {
  test(`${name} accepts tokens before and after a replacement, and refuses others`, async (t) => {
    const found = await foundOr(command);
    if ('skip' in found) {
      t.skip(found.skip);
      return;
    }
    const provider = await openProvider(t);
    const [program, ...args] = found.found;
    const child = spawn(program!, [...args, provider.issuer], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const verify = async (token: string): Promise<string> => {
      child.stdin.write(`${token}\n`);
      return (await lines.next()).value as string;
    };
    const first = await provider.token();
    assert.equal(await verify(first.token), WEB);
    await rotate(provider);
    assert.equal(await verify((await provider.token()).token), WEB);
    assert.equal(await verify(first.token), WEB);
    assert.match(await verify(`${first.token.slice(0, -4)}AAAA`), /^refused: /);
    assert.match(await verify((await provider.jwt.sign({ ...REQUEST, audiences: ['db'] })).token), /^refused: .*aud/i);
  });
}
