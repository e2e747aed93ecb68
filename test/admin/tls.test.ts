/** TLS of the admin API on TCP: who is let in, and what becomes of changed files. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { connectAdmin } from '../../src/client/client.ts';
import { CertificateFiles } from '../../src/https/certificate-files.ts';
import { type Made, makeCertificate } from '../support/certificates.ts';
import { recordingLog } from '../support/recording-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { ADMIN_TLS, call, startAdmin, TOKEN } from './support.ts';

const hosts = ['127.0.0.1', 'localhost'];
const SERVER = { isCa: false, keyUsage: undefined };
const [one, two, other] = await Promise.all([
  makeCertificate({ name: 'one', hosts, ...SERVER }),
  makeCertificate({ name: 'two', hosts, ...SERVER }),
  makeCertificate({ name: 'other', hosts: ['elsewhere.example'], ...SERVER }),
]);

function write(files: { cert: string; key: string }, { pem }: Made, { privateKey }: Made): void {
  writeFileSync(files.cert, pem);
  writeFileSync(files.key, privateKey, { mode: 0o600 });
}

function place(t: TestContext) {
  const folder = tempDir(t);
  const files = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') };
  write(files, one, one);
  return files;
}

async function start(t: TestContext, more: Parameters<typeof startAdmin>[1] = {}) {
  const files = place(t);
  const adminTls = await CertificateFiles.open(files, ADMIN_TLS);
  const running = await startAdmin(t, { tls: adminTls, ...more });
  const url = `https://127.0.0.1:${running.tcp.port}`;
  const client = (ca?: string, token = TOKEN) => connectAdmin({ url, token, ca });
  return { ...running, files, adminTls, url, client };
}

/** The certificate that a new connection gets. */
async function served(port: number, options: tls.ConnectionOptions = {}): Promise<string> {
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  try {
    await once(socket, 'secureConnect');
    return socket.getPeerX509Certificate()!.subject;
  } finally {
    socket.destroy();
  }
}

describe('the admin API under TLS', () => {
  test('answers who trusts its certificate and has a token, and is open to nobody else', async (t) => {
    const { client, url } = await start(t);
    assert.deepEqual(await client(one.pem).listEntries(), { entries: [], next_cursor: '' });
    await assert.rejects(client(one.pem, 'wrong-token-of-some-length').listEntries(), { code: 'ERR_UNAUTHORIZED' });
    for (const ca of [undefined, two.pem]) {
      await assert.rejects(client(ca).listEntries(), { code: 'ERR_UNREACHABLE', message: /--admin-ca-file/ });
    }
    await assert.rejects(connectAdmin({ url: url.replace('https', 'http'), token: TOKEN }).listEntries(), {
      code: 'ERR_UNREACHABLE',
      message: /use an https:\/\/ URL/,
    });
  });

  test('a certificate for another host is refused by the client, with the reason', async (t) => {
    const { files, adminTls, client } = await start(t);
    write(files, other, other);
    assert.equal(await adminTls.reload(), true);
    await assert.rejects(client(other.pem).listEntries(), { message: /for other names/ });
  });

  test('speaks TLS 1.2 and 1.3 with forward secrecy, and nothing else', async (t) => {
    const { tcp } = await start(t);
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      assert.equal(await served(tcp.port, { minVersion: version, maxVersion: version }), 'CN=one');
    }
    await assert.rejects(
      served(tcp.port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }),
    );
    for (const ciphers of ['AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-SHA', 'NULL:@SECLEVEL=0']) {
      await assert.rejects(served(tcp.port, { maxVersion: 'TLSv1.2', ciphers }), ciphers);
    }
  });

  test('clear text gets nothing, and a line in the log', async (t) => {
    const { log, lines } = recordingLog();
    const { tcp } = await start(t, { log });
    await assert.rejects(call(tcp.port, 'GET', '/healthz'));
    assert.ok(lines.some(({ msg }) => /began with clear text: use an https/.test(String(msg))));
  });

  test('a connection counts from its first packet: the maximum closes those without a handshake', async (t) => {
    const { tcp, client } = await start(t, { maxConnections: 4 });
    const idle = Array.from({ length: 8 }, () => net.connect(tcp.port, '127.0.0.1').on('error', () => undefined));
    t.after(() => idle.forEach((socket) => void socket.destroy()));
    const cut = Promise.all(idle.slice(0, 4).map((socket) => once(socket.resume(), 'close')));
    await Promise.all(idle.map((socket) => once(socket, 'connect')));
    assert.deepEqual(await client(one.pem).getHealth(), { status: 'ok' });
    await cut;
  });

  test('a handshake that does not go on is cut', { timeout: 20_000 }, async (t) => {
    const { tcp } = await start(t);
    const silent = net.connect(tcp.port, '127.0.0.1').on('error', () => undefined);
    await once(silent.resume(), 'close');
  });

  test('closes like the rest', async (t) => {
    const { admin, tcp } = await start(t);
    await served(tcp.port);
    await admin.close();
    assert.equal(admin.tcp.listening, false);
  });

  test('does not wait for a handshake that does not go on when it closes', async (t) => {
    const { admin, tcp, clock } = await start(t);
    const silent = net.connect(tcp.port, '127.0.0.1').on('error', () => undefined);
    t.after(() => void silent.destroy());
    await once(silent, 'connect');
    // The server has accepted the first one when it answers a later one.
    await served(tcp.port);
    const begun = performance.now();
    const passing = setInterval(() => clock.advance(1_000), 50);
    await admin.close().finally(() => clearInterval(passing));
    assert.ok(performance.now() - begun < 3_500, 'not the 5 s of a handshake');
  });
});

describe('changed TLS files', () => {
  test('are for new connections, and a pair that is none leaves the former one', async (t) => {
    const { files, adminTls, tcp } = await start(t);
    assert.equal(await adminTls.reload(), false);
    write(files, two, two);
    assert.equal(await adminTls.reload(), true);
    assert.equal(await served(tcp.port), 'CN=two');
    write(files, one, two);
    await assert.rejects(adminTls.reload(), { code: 'ERR_CONFIG', message: /--admin-tls-key.*not the key of/ });
    assert.match(adminTls.state.problem!, /not the key of/);
    assert.equal(await served(tcp.port), 'CN=two');
    write(files, one, one);
    assert.equal(await adminTls.reload(), true);
    assert.equal(adminTls.state.problem, undefined);
    assert.equal(await served(tcp.port), 'CN=one');
  });

  test('are noticed without a signal, and a broken pair is told once', async (t) => {
    const { log, lines } = recordingLog();
    const { files, adminTls, tcp, clock } = await start(t);
    const stop = adminTls.watch(clock, log);
    t.after(stop);
    /** Looks until the log has so many lines. */
    const until = async (count: number) => {
      while (lines.length < count) {
        clock.advance(10_000);
        await new Promise(setImmediate);
      }
    };
    write(files, two, two);
    await until(1);
    assert.match(String(lines[0]!.msg), /has changed/);
    assert.equal(await served(tcp.port), 'CN=two');
    writeFileSync(files.cert, 'no certificate');
    await until(2);
    assert.match(String(lines[1]!.msg), /was not reloaded/);
    for (let look = 0; look < 5; look += 1) {
      clock.advance(10_000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(lines.length, 2);
    write(files, one, one);
    await until(3);
    assert.equal(await served(tcp.port), 'CN=one');
  });

  const BAD: Readonly<Record<string, (files: { cert: string; key: string }) => void>> = {
    '--admin-tls-key: .*open to others': ({ key }) => chmodSync(key, 0o640),
    '--admin-tls-cert: .*written by others': ({ cert }) => chmodSync(cert, 0o666),
    '--admin-tls-cert: .*no certificate|PEM': ({ cert }) => writeFileSync(cert, 'x'),
    '--admin-tls-key: .*key.pem: ': ({ key }) => writeFileSync(key, 'x'),
    '--admin-tls-key: .*not the key of the certificate': (files) => write(files, one, two),
  };
  for (const [says, spoil] of Object.entries(BAD)) {
    test(`stop a start: ${says}`, async (t) => {
      const files = place(t);
      spoil(files);
      await assert.rejects(CertificateFiles.open(files, ADMIN_TLS), { code: 'ERR_CONFIG', message: new RegExp(says) });
    });
  }
});
