/** A whole server with TLS on its admin port: beyond loopback, with files that change, and settings that make no sense. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectAdmin } from '../../src/client/client.ts';
import { makeCertificate } from '../support/certificates.ts';
import { makePlace, type Place, type Served, serve, spawnServe } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const SERVER = { hosts: ['127.0.0.1'], isCa: false, keyUsage: undefined };

async function files(t: TestContext) {
  const folder = tempDir(t);
  const [cert, key] = [path.join(folder, 'cert.pem'), path.join(folder, 'key.pem')] as const;
  const [one, two] = await Promise.all([makeCertificate(SERVER), makeCertificate(SERVER)]);
  const put = (which: typeof one, keyOf = which) => {
    writeFileSync(cert, which.pem);
    writeFileSync(key, keyOf.privateKey, { mode: 0o600 });
  };
  put(one);
  return { cert, key, one, two, put, flags: ['--admin-tls-cert', cert, '--admin-tls-key', key] };
}

async function clientOf(server: Served, ca: string) {
  const { port } = await server.logged('admin API listens on TCP');
  const token = readFileSync(path.join(server.dataDir, 'admin.token'), 'utf8').trim();
  return connectAdmin({ url: `https://127.0.0.1:${port}`, token, ca });
}

test('a server with TLS may listen beyond loopback, and a changed pair is used without a restart', async (t) => {
  const { one, two, put, flags, cert } = await files(t);
  const server = await serve(t, { flags: ['--admin-listen', '0.0.0.0:0', ...flags] });
  assert.deepEqual((await (await clientOf(server, one.pem)).getReadiness()).status, 'ready');

  put(two, one);
  process.kill(server.pid, 'SIGHUP');
  const kept = await server.logged(
    'the TLS certificate of the admin API was not reloaded: the former one stays in use',
  );
  assert.match(JSON.stringify(kept), /not the key of the certificate/);
  const { warnings } = await (await clientOf(server, one.pem)).getReadiness();
  assert.match(warnings![0]!, /^admin TLS: --admin-tls-key: .*not the key/);
  const { admin_tls: report } = await (await clientOf(server, one.pem)).getDoctorReport();
  assert.equal(report!.cert_file, cert);
  assert.match(report!.problem!, /not the key/);

  put(two);
  process.kill(server.pid, 'SIGHUP');
  await server.logged('the TLS certificate of the admin API has changed: new connections get it');
  assert.equal((await (await clientOf(server, two.pem)).getReadiness()).warnings, undefined);
  await assert.rejects((await clientOf(server, one.pem)).getReadiness(), { code: 'ERR_UNREACHABLE' });
  assert.equal((await server.stop()).code, 0);
});

test('settings of TLS that make no sense stop a start', async (t) => {
  const { one, two, put, flags, cert, key } = await files(t);
  const says = async (place: Place, ...given: string[]) => {
    const child = spawnServe(place, given);
    let text = '';
    child.stderr!.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    const [status] = await once(child, 'close');
    assert.equal(status, given.includes('--check') ? 1 : 2, text);
    return text;
  };
  const place = makePlace(t);
  const listen = ['--admin-listen', '127.0.0.1:0'];
  assert.match(await says(place, ...listen, '--admin-tls-cert', cert), /--admin-tls-key: it is not set/);
  assert.match(await says(place, ...listen, '--admin-tls-key', key), /--admin-tls-cert: it is not set/);
  assert.match(await says(place, ...flags), /--admin-listen: it is not set/);
  assert.match(await says(place, '--admin-listen', '0.0.0.0:0'), /--admin-listen: .*give --admin-tls-cert/);
  put(one, two);
  assert.match(await says(place, ...listen, ...flags), /--admin-tls-key: .*not the key of the certificate/);
  assert.match(await says(place, ...listen, ...flags, '--check'), /not the key of the certificate/);
});
