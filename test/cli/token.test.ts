import assert from 'node:assert/strict';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { CertificateFiles } from '../../src/https/certificate-files.ts';
import { ADMIN_TLS, startAdmin, TOKEN } from '../admin/support.ts';
import { makeCertificate } from '../support/certificates.ts';
import { tempDir } from '../support/temp-dir.ts';
import { sidekey } from './support.ts';

async function start(t: TestContext) {
  const running = await startAdmin(t);
  const env = { SIDEKEY_ADMIN_SOCKET: running.socketPath };
  const run = (...args: string[]) => sidekey(['token', ...args], { env });
  return { ...running, run };
}

describe('sidekey token', () => {
  test('create prints the text once, list shows the rest, and revoke ends it', async (t) => {
    const { run, tcp } = await start(t);
    const made = await run('create', 'ci', '--role', 'read', '--expires-in', '30d', '-o', 'json');
    assert.deepEqual([made.status, made.stderr], [0, '']);
    const { token, role, expires_at } = JSON.parse(made.stdout);
    assert.match(token, /^sidekey_[0-9a-f]{72}$/);
    assert.equal(role, 'read');
    const days = (Date.parse(expires_at) - Date.now()) / 86_400_000;
    assert.ok(days > 29.9 && days <= 30);
    const file = path.join(tempDir(t), 'token');
    writeFileSync(file, token, { mode: 0o600 });
    const ask = (...args: string[]) =>
      sidekey([...args, '--admin-url', `http://127.0.0.1:${tcp.port}`, '--token-file', file]);
    assert.equal((await ask('entry', 'list')).status, 0);
    const refused = await ask('entry', 'delete', 'some-id');
    assert.equal(refused.status, 1);
    const list = await run('list');
    assert.match(list.stdout, /^NAME +ROLE +CREATED +EXPIRES\nci +read +\S+ +\S+\n$/);
    assert.ok(!list.stdout.includes(token));
    assert.equal((await run('revoke', 'ci')).stdout, 'deleted ci\n');
    const gone = await ask('entry', 'list');
    assert.equal(gone.status, 1);
    assert.match(gone.stderr, /was revoked.*\(ERR_UNAUTHORIZED\)/);
    const again = await run('revoke', 'ci');
    assert.match(again.stderr, /there is no token ci /);
  });

  test('a command that the role does not allow says which one it needs', async (t) => {
    const { run, tcp } = await start(t);
    const file = path.join(tempDir(t), 'token');
    const made = await run('create', 'reader', '--role', 'read', '--out', file);
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stdout, new RegExp(`^name +reader\n[^]*file +${file}\n$`));
    assert.match(readFileSync(file, 'utf8'), /^sidekey_[0-9a-f]{72}\n$/);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const url = ['--admin-url', `http://127.0.0.1:${tcp.port}`, '--token-file', file];
    const { status, stderr } = await sidekey(['ca', 'rotate', ...url]);
    assert.equal(status, 1);
    assert.match(
      stderr,
      /needs a token with the role admin, and the token reader has the role read \(ERR_FORBIDDEN_ROLE\)/,
    );
  });

  test('what makes no sense is refused, and nothing is made', async (t) => {
    const { run, registry } = await start(t);
    const file = path.join(tempDir(t), 'there');
    writeFileSync(file, 'x');
    for (const [args, status, says] of [
      [['create', 'a'], 2, /--role/],
      [['create', 'a', '--role', 'root'], 2, /Allowed choices are metrics, read, entries, admin/],
      [['create', 'a', '--role', 'read', '--expires-in', 'soon'], 2, /--expires-in: "soon" is not a duration/],
      [['create', 'a', '--role', 'read', '--expires-in', '1d', '--expires-at', 'never'], 2, /not both/],
      [['create', 'a', '--role', 'read', '--expires-at', '1'], 1, /--expires-at: .*past/],
      [['create', 'admin.token', '--role', 'read'], 1, /NAME: .*not admin\.token/],
      [['create', 'a', '--role', 'read', '--out', file], 2, /--out: EEXIST/],
    ] as const) {
      const ran = await run(...args);
      assert.equal(ran.status, status, args.join(' '));
      assert.match(ran.stderr, says);
    }
    assert.deepEqual(registry.tokens.list(), []);
    assert.equal(readFileSync(file, 'utf8'), 'x');
  });
});

test('--admin-ca-file names the CA of the server, from a file that nobody else can change', async (t) => {
  const folder = tempDir(t);
  const [cert, key, token, other] = ['cert', 'key', 'token', 'other'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
    string,
  ];
  const made = await makeCertificate({ hosts: ['127.0.0.1'], isCa: false, keyUsage: undefined });
  writeFileSync(cert, made.pem);
  writeFileSync(key, made.privateKey, { mode: 0o600 });
  const { tcp } = await startAdmin(t, { tls: await CertificateFiles.open({ cert, key }, ADMIN_TLS) });
  writeFileSync(token, TOKEN, { mode: 0o600 });
  const url = ['--admin-url', `https://127.0.0.1:${tcp.port}`, '--token-file', token];
  const ask = (...args: string[]) => sidekey(['entry', 'list', ...url, ...args]);
  assert.equal((await ask('--admin-ca-file', cert)).status, 0);
  assert.equal((await sidekey(['entry', 'list', ...url], { env: { SIDEKEY_ADMIN_CA_FILE: cert } })).status, 0);
  assert.match((await ask()).stderr, /not signed by a CA that is trusted here.*--admin-ca-file/);
  writeFileSync(other, 'no certificate');
  const bad = await ask('--admin-ca-file', other);
  assert.deepEqual([bad.status, /--admin-ca-file: .*certificates as PEM/.test(bad.stderr)], [2, true]);
  writeFileSync(other, made.pem, { mode: 0o666 });
  chmodSync(other, 0o666);
  assert.match((await ask('--admin-ca-file', other)).stderr, /written by others/);
});
