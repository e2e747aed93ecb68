import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import type http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeTrustBundle } from '../../src/spiffe/bundle.ts';
import { bundleDocument } from '../../src/spiffe/bundle-json.ts';
import { type HostCertificate, issue } from '../agents/certificates.ts';
import { openPort } from '../agents/support.ts';
import { x509 } from '../support/peculiar.ts';
import { tempDir } from '../support/temp-dir.ts';
import { FakeServer, state } from './fake-server.ts';
import { open, TRUST_DOMAIN, until } from './support.ts';

async function start(t: TestContext): Promise<FakeServer> {
  const fake: FakeServer = await FakeServer.start(t, {
    onAttach: (stream) => {
      for (const message of state(fake)) stream.send(message);
    },
  });
  return fake;
}

function documentOf({ certificate }: HostCertificate): string {
  const bundle = makeTrustBundle({
    ...{ trustDomain: TRUST_DOMAIN, roots: [certificate], sequenceNumber: 1, refreshHint: undefined },
  });
  return JSON.stringify(bundleDocument(bundle));
}

/** A web server of `localhost` whose CA is in a file. */
async function web(t: TestContext, answer: http.RequestListener) {
  const ca = await issue({ name: 'web', isCa: true });
  const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }]);
  const leaf = await issue({ issuer: ca, more: [names] });
  const server = https.createServer({ cert: leaf.pem, key: leaf.keyPem }, answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const caFile = path.join(tempDir(t), 'ca.pem');
  writeFileSync(caFile, ca.pem);
  return { url: `https://localhost:${(server.address() as AddressInfo).port}/bundle`, caFile };
}

test('an agent knows its server by a SPIFFE bundle in a file, or at a URL, also behind redirects', async (t) => {
  const fake = await start(t);
  const document = documentOf(fake.root);
  await open(t, { ports: [fake.port], bundle: document, token: 'abc' });
  const { url, caFile } = await web(t, (request, response) => {
    if (request.url === '/bundle') response.writeHead(302, { location: '/there' }).end();
    else response.end(request.url === '/there' ? document : fake.root.pem);
  });
  await open(t, { ports: [fake.port], trust: { url, caFile }, token: 'abc' });
  await open(t, { ports: [fake.port], trust: { url: url.replace('/bundle', '/pem'), caFile }, token: 'abc' });
});

test('a URL without https, or one that redirects to http, is refused', async (t) => {
  const fake = await start(t);
  const { url, caFile } = await web(t, (_request, response) => {
    response.writeHead(302, { location: 'http://localhost/bundle' }).end();
  });
  for (const from of [url, 'http://localhost/bundle']) {
    const opening = open(t, { ports: [fake.port], trust: { url: from, caFile }, token: 'abc' });
    await assert.rejects(opening, { code: 'ERR_CONFIG', message: /http:\/\/ is not https/ });
  }
  assert.deepEqual(fake.calls, []);
});

test('a URL that cannot be trusted, is too long, endless, or no bundle gives no agent', async (t) => {
  const fake = await start(t);
  const answers: http.RequestListener[] = [
    (_request, response) => void response.end('a'.repeat(1024 * 1024 + 1)),
    (_request, response) => void response.writeHead(404).end(),
    (request, response) => void response.writeHead(302, { location: request.url }).end(),
  ];
  const whys = [/more than 1048576 bytes/, /answers with the status 404/, /redirects more than 3 times/];
  for (const [at, answer] of answers.entries()) {
    const { url, caFile } = await web(t, answer);
    await waits(t, fake, { url, caFile }, whys[at]!);
  }
  const { url } = await web(t, (_request, response) => void response.end('-'));
  await waits(
    t,
    fake,
    { url },
    /unable to verify the first certificate|self-signed certificate|unable to get local issuer/,
  );
  const { url: noBundle, caFile } = await web(t, (_request, response) => void response.end('{"keys":[]}'));
  const opening = open(t, { ports: [fake.port], trust: { url: noBundle, caFile }, token: 'abc' });
  await assert.rejects(opening, { code: 'ERR_CONFIG' });
  assert.deepEqual(fake.calls, []);
});

/** It is tried again, and the log has the reason. */
async function waits(t: TestContext, fake: FakeServer, trust: { url: string; caFile?: string }, why: RegExp) {
  const log: Record<string, unknown>[] = [];
  const stop = new AbortController();
  const opening = open(t, { ports: [fake.port], trust, token: 'abc', signal: stop.signal, log });
  opening.catch(() => undefined);
  await until(String(why), () => log.some(({ problems }) => why.test(String(problems))));
  stop.abort();
  await assert.rejects(opening);
}

test('tokens and keys in files that others can read are refused', async (t) => {
  const fake = await start(t);
  const dir = tempDir(t);
  const [tokenFile, certificateFile, keyFile] = ['token', 'cert.pem', 'key.pem'].map((name) => path.join(dir, name));
  const host = await issue();
  writeFileSync(tokenFile!, 'abc\n', { mode: 0o644 });
  writeFileSync(certificateFile!, host.pem);
  writeFileSync(keyFile!, host.keyPem, { mode: 0o640 });
  const given = { ports: [fake.port], bundle: fake.root.pem };
  const byToken = { ...given, attestation: { type: 'join_token', tokenFile: tokenFile! } as const };
  const byKey = {
    ...given,
    attestation: { type: 'x509pop', certificateFile: certificateFile!, keyFile: keyFile! } as const,
  };
  await assert.rejects(open(t, byToken), {
    code: 'ERR_CONFIG',
    message: /--join-token-file .*open to others.*chmod 600/s,
  });
  await assert.rejects(open(t, byKey), { code: 'ERR_CONFIG', message: /--x509pop-key .*open to others/s });
  chmodSync(keyFile!, 0o600);
  writeFileSync(keyFile!, (await issue()).keyPem);
  await assert.rejects(open(t, byKey), { code: 'ERR_CONFIG', message: /is not that of the first certificate/ });
  writeFileSync(keyFile!, 'secret');
  await assert.rejects(
    open(t, byKey),
    (error: Error) => /no private key in PEM/.test(error.message) && !/secret/.test(error.message),
  );
  chmodSync(tokenFile!, 0o600);
  await open(t, byToken);
  assert.equal(fake.calls.filter((call) => call === 'AttestAgent').length, 1);
});

for (const type of ['rsa', 'P-256', 'P-384'] as const) {
  test(`a Sidekey server attests an agent by a certificate with ${type}, and another key proves nothing`, async (t) => {
    const dir = tempDir(t);
    const ca = await issue({ name: 'hosts', isCa: true });
    const host = await issue({ issuer: ca, type, name: 'web-1' });
    const at = (name: string, text: string) => {
      const file = path.join(dir, name);
      writeFileSync(file, text, { mode: 0o600 });
      return file;
    };
    const { number, roots, registry } = await openPort(t, { popCaFile: at('ca.pem', ca.pem) });
    const [certificateFile, keyFile] = [at('cert.pem', host.pem), at('key.pem', host.keyPem)];
    const attestation = { type: 'x509pop', certificateFile, keyFile } as const;
    const given = { ports: [number], bundle: String(roots()) };
    const { uplink } = await open(t, { ...given, attestation });
    const agent = registry.agents.get(uplink.status.agentId!)!;
    assert.equal(agent.canReattest, true);
    assert.ok(agent.selectors.some(({ value }) => value === 'subject:cn:web-1'));

    const stranger = await issue({ issuer: await issue({ name: 'hosts', isCa: true }), type });
    const [otherFile, otherKey] = [at('other.pem', stranger.pem), at('other.key', stranger.keyPem)];
    const other = { type: 'x509pop', certificateFile: otherFile, keyFile: otherKey } as const;
    await assert.rejects(open(t, { ...given, attestation: other }), { code: 'ERR_ATTACH', message: /no authority/ });
  });
}
