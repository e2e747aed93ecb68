/** A real SPIRE server fetches our bundle, through rotations. Opt-in: see `spire-server.ts`. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeCertificate } from '../support/certificates.ts';
import { makePlace, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { documentFrom } from './fetch.ts';
import { type SpireServer, startSpireServer, whyNoSpireServer } from './spire-server.ts';

const skip = whyNoSpireServer() ?? false;
const FLAGS = ['--federation-listen', '127.0.0.1:0', '--federation-refresh-hint', '1s', '--root-publish-time', '0s'];
const options = { skip, timeout: 180_000 };

/** The bundle as SPIRE has stored it. */
async function stored(spire: SpireServer) {
  const { stdout } = await spire.ask('bundle', 'list', '-id', `spiffe://${TRUST_DOMAIN}`, '-output', 'json');
  const known = JSON.parse(stdout) as { x509_authorities: unknown[]; jwt_authorities: unknown[] };
  // SPIRE lists them in any order.
  const sorted = (all: unknown[]) => all.map((one) => JSON.stringify(one)).sort();
  return { x509_authorities: sorted(known.x509_authorities), jwt_authorities: sorted(known.jwt_authorities) };
}

test(
  'SPIRE reads the endpoint with https_spiffe, through a rotation and a restart',
  options,
  async (t: TestContext) => {
    const spire = await startSpireServer(t, 'one.test');
    const place = makePlace(t);
    let server = await serve(t, { place, flags: FLAGS });
    const { port } = (await server.logged('the bundle endpoint listens')) as { port: number };
    const flags = FLAGS.with(1, `127.0.0.1:${port}`);
    const ours = path.join(spire.folder, 'ours.json');
    const bootstrap = await documentFrom(port);
    writeFileSync(ours, JSON.stringify(bootstrap));
    const created = await spire.ask(
      ...['federation', 'create', '-trustDomain', TRUST_DOMAIN, '-bundleEndpointURL', `https://127.0.0.1:${port}/`],
      ...['-bundleEndpointProfile', 'https_spiffe', '-endpointSpiffeID', `spiffe://${TRUST_DOMAIN}/sidekey/server`],
      ...['-trustDomainBundlePath', ours, '-trustDomainBundleFormat', 'spiffe'],
    );
    assert.equal(created.status, 0, created.stderr);
    const refresh = async () => {
      const { status, stderr } = await spire.ask('federation', 'refresh', '-id', TRUST_DOMAIN);
      assert.equal(status, 0, stderr);
      const known = await stored(spire);
      const { keys } = await documentFrom(port);
      assert.equal(known.x509_authorities.length + known.jwt_authorities.length, keys.length);
      return known;
    };
    assert.equal((await refresh()).x509_authorities.length, 1);
    await server.request('POST', '/v1/ca/rotate', { role: 'root' });
    assert.equal((await refresh()).x509_authorities.length, 2);
    await server.logged('new root signs: all SVIDs are reissued');
    const rotated = await refresh();
    await server.stop();
    server = await serve(t, { place, flags });
    assert.deepEqual(await refresh(), rotated, 'the certificate of the endpoint is under the new root');
  },
);

test('SPIRE reads the endpoint with https_web', options, async (t: TestContext) => {
  const folder = tempDir(t);
  const made = await makeCertificate({ hosts: ['127.0.0.1'], isCa: false, keyUsage: undefined });
  const [cert, key] = [path.join(folder, 'cert.pem'), path.join(folder, 'key.pem')];
  writeFileSync(cert, made.pem);
  writeFileSync(key, made.privateKey, { mode: 0o600 });
  // Stands in for the public authorities of the host.
  const spire = await startSpireServer(t, 'one.test', { SSL_CERT_FILE: cert });
  const web = ['--federation-profile', 'https_web', '--federation-cert-file', cert, '--federation-key-file', key];
  const server = await serve(t, { flags: [...FLAGS, ...web] });
  const { port } = (await server.logged('the bundle endpoint listens')) as { port: number };
  const created = await spire.ask(
    ...['federation', 'create', '-trustDomain', TRUST_DOMAIN, '-bundleEndpointURL', `https://127.0.0.1:${port}/`],
    ...['-bundleEndpointProfile', 'https_web'],
  );
  assert.equal(created.status, 0, created.stderr);
  const { status, stderr } = await spire.ask('federation', 'refresh', '-id', TRUST_DOMAIN);
  assert.equal(status, 0, stderr);
  const { x509_authorities: x509, jwt_authorities: jwt } = await stored(spire);
  assert.deepEqual([x509.length, jwt.length], [1, 2]);
});
