/** OIDC discovery: what it answers, its limits, and its TLS files. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { answersOf } from '../../src/oidc/answers.ts';
import type { OidcProviderOptions } from '../../src/oidc/provider.ts';
import { startOidcProvider } from '../../src/oidc/provider.ts';
import { openTestAuthority, until } from '../ca/support.ts';
import { makeCa } from '../ca/upstream/pki.ts';
import { JWT } from '../jwt/support.ts';
import { tempDir } from '../support/temp-dir.ts';

const ISSUER = 'https://issuer.example/tokens';

interface Got {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: string;
  readonly issuer?: string;
}

async function open(t: TestContext, overrides: Partial<OidcProviderOptions> = {}) {
  const authority = await openTestAuthority(t, { jwt: JWT });
  const { ca, clock, log } = authority;
  const given = {
    listen: { host: '127.0.0.1', port: 0 },
    issuer: ISSUER,
    tls: undefined,
    ca,
    maxConnections: 10,
    clock,
    log,
  };
  const provider = await startOidcProvider({ ...given, ...overrides });
  let closing: Promise<void> | undefined;
  const close = () => (closing ??= provider.close());
  t.after(close);
  return { ...authority, port: provider.address.port, close };
}

function get(
  port: number,
  place: string,
  options: { method?: string; host?: string; body?: string; tls?: boolean } = {},
): Promise<Got> {
  const { method = 'GET', host = 'evil.example', body, tls = false } = options;
  return new Promise((resolve, reject) => {
    const headers = { host, ...(body === undefined ? {} : { 'content-length': body.length }) };
    const call = (tls ? httpsRequest : httpRequest)(
      { host: '127.0.0.1', port, path: place, method, headers, agent: false, rejectUnauthorized: false },
      async (response) => {
        let text = '';
        const socket = response.socket as Socket & { getPeerCertificate?: () => { subject?: { CN?: string } } };
        const issuer = socket.getPeerCertificate?.().subject?.CN;
        for await (const chunk of response) text += chunk;
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          body: text,
          ...(issuer === undefined ? {} : { issuer }),
        });
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}

test('the discovery document names the issuer as it is set, whatever the Host header says', async (t) => {
  const { port } = await open(t);
  const { status, headers, body } = await get(port, '/tokens/.well-known/openid-configuration');
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(headers['access-control-allow-origin'], '*');
  assert.deepEqual(JSON.parse(body), {
    issuer: ISSUER,
    jwks_uri: `${ISSUER}/keys`,
    authorization_endpoint: '',
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256', 'ES256', 'ES384'],
  });
});

test('the keys have what jose, PyJWT and Envoy need, change with the bundle, and have nothing private', async (t) => {
  const { ca, port } = await open(t);
  const keys = async () => JSON.parse((await get(port, '/tokens/keys')).body).keys as Record<string, string>[];
  const before = await keys();
  assert.deepEqual(
    before.map(({ kid }) => kid),
    ca.bundle().jwtAuthorities.map(({ keyId }) => keyId),
  );
  for (const { x, y, kid, ...rest } of before) {
    assert.ok(x !== undefined && y !== undefined && kid !== undefined);
    assert.deepEqual(rest, { kty: 'EC', crv: 'P-256', use: 'sig', alg: 'ES256' });
  }
  await ca.taint((await ca.jwtSigner()).keyId);
  const after = await keys();
  assert.equal(after.filter(({ kid }) => before.some((one) => one.kid === kid)).length, 1);
});

test('an issuer with a slash at its end keeps it, and its documents are where the standard says', () => {
  const answers = answersOf('https://issuer.example/', () => ({ jwtAuthorities: [] }));
  const { status, body } = answers('GET', '/.well-known/openid-configuration?x=1');
  assert.equal(status, 200);
  assert.equal(JSON.parse(body).issuer, 'https://issuer.example/');
  assert.equal(JSON.parse(body).jwks_uri, 'https://issuer.example/keys');
  assert.deepEqual(JSON.parse(answers('GET', '/keys').body), { keys: [] });
});

test('there is no other path and no other method', async (t) => {
  const { port } = await open(t);
  for (const place of [
    '/',
    '/keys',
    '/v1/entries',
    '/healthz',
    '/tokens/keys/',
    '/tokens/keys/../../v1/ca',
    '/tokens/__proto__',
  ]) {
    assert.equal((await get(port, place)).status, 404, place);
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const { status, headers } = await get(port, '/tokens/keys', { method, body: '{}' });
    assert.equal(status, 405);
    assert.equal(headers.allow, 'GET, HEAD');
    assert.equal(headers.connection, 'close');
  }
  const head = await get(port, '/tokens/keys', { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.body, '');
});

test('idle connections do not keep others out', async (t) => {
  const { port, lines } = await open(t, { maxConnections: 5 });
  const idle: Socket[] = [];
  for (let i = 0; i < 20; i += 1) {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    idle.push(socket);
    await once(socket, 'connect');
  }
  t.after(() => {
    for (const socket of idle) socket.destroy();
  });
  assert.equal((await get(port, '/tokens/keys')).status, 200);
  await until(() => idle.filter(({ closed }) => closed).length >= 15);
  assert.ok(lines().some(({ msg }) => msg.startsWith('connections to OIDC discovery reached the limit')));
});

test('a request with large headers is refused', async (t) => {
  const { port } = await open(t);
  assert.equal((await get(port, `/tokens/keys?${'x'.repeat(20_000)}`)).status, 431);
});

test('clear text stays on loopback', async (t) => {
  await assert.rejects(open(t, { listen: { host: '0.0.0.0', port: 0 } }), {
    code: 'ERR_CONFIG',
    message: /is not a loopback address, and there is no TLS certificate/,
  });
});

test('a port that is taken', async (t) => {
  const { port } = await open(t);
  await assert.rejects(open(t, { listen: { host: '127.0.0.1', port } }), {
    code: 'ERR_SOCKET',
    message: /^--oidc-listen 127\.0\.0\.1:/,
  });
});

async function tlsFiles(t: TestContext) {
  const dir = path.join(tempDir(t), 'tls');
  mkdirSync(dir, { mode: 0o700 });
  const files = { cert: path.join(dir, 'cert.pem'), key: path.join(dir, 'key.pem') };
  const write = async (name: string) => {
    const { certificate, privateKey } = await makeCa({ name });
    writeFileSync(files.cert, certificate.toString(), { mode: 0o644 });
    writeFileSync(files.key, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  };
  await write('first');
  return { files, write };
}

test('TLS from files, which are read again when they change; broken ones change nothing', async (t) => {
  const { files, write } = await tlsFiles(t);
  const { port, clock, lines } = await open(t, { tls: files, listen: { host: '0.0.0.0', port: 0 } });
  const name = async () => (await get(port, '/tokens/keys', { tls: true })).issuer;
  assert.equal(await name(), 'first');
  await write('second');
  const told = (what: string) => () => lines().some(({ msg }) => msg.includes(what));
  clock.advance(10_000);
  await until(told('has changed: new connections get it'));
  assert.equal(await name(), 'second');
  writeFileSync(files.key, 'broken');
  clock.advance(10_000);
  await until(told('the former one stays in use'));
  assert.equal(await name(), 'second');
  await write('third');
  clock.advance(10_000);
  await until(() => lines().filter(({ msg }) => msg.includes('has changed: new connections get it')).length === 2);
  assert.equal(await name(), 'third');
});

test('a connection whose TLS handshake does not go on does not delay the end', async (t) => {
  const { files } = await tlsFiles(t);
  const { port, close } = await open(t, { tls: files });
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  // The server has accepted the first one when it answers a later one.
  await get(port, '/tokens/keys', { tls: true });
  const begun = performance.now();
  await close();
  assert.ok(performance.now() - begun < 2_500, 'not the 5 s of a handshake');
});

test('a TLS key that others can read, or that is missing, is refused with its name', async (t) => {
  const { files } = await tlsFiles(t);
  await assert.rejects(open(t, { tls: { ...files, key: files.cert } }), {
    code: 'ERR_CONFIG',
    message: /--oidc-key-file.* is open to others/,
  });
  await assert.rejects(open(t, { tls: { ...files, cert: `${files.cert}.not` } }), {
    code: 'ERR_CONFIG',
    message: /--oidc-cert-file.* there is no such file/,
  });
});
