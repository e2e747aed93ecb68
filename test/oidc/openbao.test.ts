/** A real OpenBao that knows workloads by their SVIDs: the login with a JWT-SVID, and the one with a client certificate. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { after, test } from 'node:test';
import { pemOf } from '../../src/cli/der.ts';
import { REQUEST, WEB } from '../jwt/support.ts';
import { type OpenBao, openBaoForTests, startOpenBao } from '../support/openbao.ts';
import { serve } from '../support/serve.ts';
import { WorkloadClient } from '../support/workload-client.ts';
import { openProvider, rotate } from './support.ts';

const found = await openBaoForTests();
const options = { skip: found.skip, timeout: 60_000 };

let shared: Promise<OpenBao> | undefined;
const bao = () => {
  assert.ok(found.skip === false);
  shared ??= startOpenBao(found.file);
  return shared;
};

after(async () => {
  await (await shared)?.stop();
});

test("OpenBao's jwt login accepts tokens before and after a replacement, and refuses others", options, async (t) => {
  const provider = await openProvider(t);
  const { ask } = await bao();
  await ask('POST', 'sys/auth/jwt', { type: 'jwt' });
  await ask('POST', 'auth/jwt/config', { oidc_discovery_url: provider.issuer, bound_issuer: provider.issuer });
  await ask('POST', 'auth/jwt/role/web', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['web'],
    bound_subject: WEB,
    token_policies: ['default'],
  });
  const login = async (jwt: string) => (await ask('POST', 'auth/jwt/login', { role: 'web', jwt }, '')).auth;
  const first = await provider.token();
  assert.deepEqual((await login(first.token)).metadata, { role: 'web' });
  await rotate(provider);
  assert.ok((await login((await provider.token()).token)).client_token);
  assert.ok((await login(first.token)).client_token, 'the old key stays for its tokens');
  await assert.rejects(login((await provider.jwt.sign({ ...REQUEST, audiences: ['db'] })).token), /audience/);
  await assert.rejects(login(`${first.token.slice(0, -4)}AAAA`), /signature/);
});

test("OpenBao's cert login accepts an X.509-SVID of the workload alone", options, async (t) => {
  // OpenBao has no clock of the test's own. It names the client by the common name, which is the first DNS name.
  const server = await serve(t);
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const entries = [
    { spiffe_id: WEB, selectors, hint: 'default', dns_names: ['web.test'] },
    { spiffe_id: 'spiffe://ilinux.io/api', selectors, dns_names: ['api.test'] },
  ];
  assert.equal((await server.request('POST', '/v1/entries', { entries })).status, 201);
  const { svids } = await new WorkloadClient(t, server.socket).x509Svids().next();
  const { server: address, ask } = await bao();
  await ask('POST', 'sys/auth/cert', { type: 'cert' });
  await ask('POST', 'auth/cert/certs/web', {
    certificate: pemOf(svids[0]!.bundle),
    allowed_uri_sans: [WEB],
    token_policies: ['default'],
  });
  const login = ({ x509Svid, x509SvidKey }: (typeof svids)[number]) =>
    new Promise<string>((resolve, reject) => {
      const key = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(x509SvidKey).toString('base64')}\n-----END PRIVATE KEY-----\n`;
      const tls = { ca: readFileSync(address.caFile), cert: pemOf(x509Svid), key };
      const asking = request(`${address.address}/v1/auth/cert/login`, { method: 'POST', ...tls }, async (response) => {
        let body = '';
        for await (const chunk of response.setEncoding('utf8')) body += chunk;
        resolve(body);
      });
      asking.on('error', reject).end('{"name":"web"}');
    });
  const { auth } = JSON.parse(await login(svids[0]!)) as { auth: { policies: string[] } };
  assert.deepEqual(auth.policies, ['default']);
  assert.match(await login(svids[1]!), /invalid certificate|no chain matching/);
});
