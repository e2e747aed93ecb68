import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { startAdmin } from '../admin/support.ts';
import { makeCertificate } from '../support/certificates.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type RunOptions, sidekey } from './support.ts';

const one = await makeCertificate({ name: 'one' });
const expired = await makeCertificate({ name: 'old', notAfter: Date.UTC(2026, 4, 1) });

async function start(t: TestContext) {
  const running = await startAdmin(t);
  const run = (args: readonly string[], options: RunOptions = {}) =>
    sidekey(args, { ...options, env: { SIDEKEY_ADMIN_SOCKET: running.socketPath } });
  return { ...running, run };
}

function file(t: TestContext, content: string): string {
  const place = path.join(tempDir(t), 'bundle');
  writeFileSync(place, content);
  return place;
}

describe('sidekey bundle', () => {
  test('set takes PEM and JSON, from a file or stdin, and tells them apart', async (t) => {
    const { run, registry } = await start(t);
    const pem = await run(['bundle', 'set', 'other.example', '--file', file(t, one.pem)]);
    assert.equal(pem.status, 0, pem.stderr);
    assert.match(pem.stdout, /^trust_domain +other\.example\nspiffe_sequence +1\nspiffe_refresh_hint +none\n/);
    const document = { spiffe_sequence: 9, spiffe_refresh_hint: 60, keys: [one.key] };
    const stdin = `\ufeff\n ${JSON.stringify(document, undefined, 2)}`;
    const json = await run(['bundle', 'set', 'spiffe://another.example', '--file', '-', '-o', 'json'], { stdin });
    assert.equal(json.status, 0, json.stderr);
    const { updated_at: _, ...made } = JSON.parse(json.stdout);
    assert.deepEqual(made, {
      trust_domain: 'another.example',
      spiffe_sequence: 9,
      spiffe_refresh_hint: 60,
      source: 'manual',
      authorities: 1,
      expires_at: '2035-12-31T00:00:00.000Z',
    });
    for (const name of ['other.example', 'another.example']) {
      assert.deepEqual(registry.federatedBundles.get(name)?.x509Authorities, [one.der]);
    }
  });

  test('set tells warnings on stderr, and does it all the same', async (t) => {
    const { run } = await start(t);
    const { status, stdout, stderr } = await run(['bundle', 'set', 'other.example', '--file', '-', '-o', 'json'], {
      stdin: expired.pem + one.pem,
    });
    assert.equal(status, 0);
    assert.match(stderr, /^sidekey: warning: --file: stdin line 1: "CN=old" expired at [^\n]+\n$/);
    assert.equal(JSON.parse(stdout).authorities, 2);
  });

  test('set tells what is wrong, and nothing of a private key', async (t) => {
    const { run, registry } = await start(t);
    const refused = async (args: readonly string[], status: number, says: RegExp, stdin = '') => {
      const ran = await run(['bundle', 'set', ...args], { stdin });
      assert.equal(ran.status, status, ran.stderr);
      assert.match(ran.stderr, says);
      return ran.stderr;
    };
    await refused(['other.example'], 2, /--file/);
    await refused(['other.example', '--file', '/nowhere'], 2, /--file: .*\/nowhere/);
    await refused(['other.example', '--file', '-'], 1, /no certificate.*\(ERR_BAD_INPUT\)/);
    await refused(['other.example', '--file', '-'], 1, /ERR_BAD_JSON/, '{"keys":');
    await refused(['ilinux.io', '--file', '-'], 1, /own trust domain/, one.pem);
    await refused(['other.example', '--file', '-'], 1, /1048577 bytes.*\(ERR_TOO_LARGE\)/, ' '.repeat(1024 * 1024 + 1));
    const told = await refused(['other.example', '--file', '-'], 1, /it is a private key/, one.pem + one.privateKey);
    assert.ok(!told.includes(one.privateKey.split('\n')[1]!));
    assert.deepEqual(registry.federatedBundles.list(), []);
  });

  test('show prints one of another trust domain, list all, and delete ends one', async (t) => {
    const { run } = await start(t);
    await run(['bundle', 'set', 'other.example', '--file', '-'], { stdin: one.pem });
    assert.equal((await run(['bundle', 'show', 'other.example'])).stdout, one.pem);
    const shown = await run(['bundle', 'show', 'other.example', '--format', 'spiffe']);
    assert.deepEqual(JSON.parse(shown.stdout), { spiffe_sequence: 1, keys: [one.key] });
    const list = await run(['bundle', 'list']);
    assert.match(
      list.stdout,
      /^TRUST DOMAIN +SOURCE +SEQUENCE +AUTHORITIES +EXPIRES +UPDATED\nother\.example +manual +1 +1 +2035-/,
    );
    const json = await run(['bundle', 'list', '--output', 'json']);
    assert.equal(JSON.parse(json.stdout).bundles[0].trust_domain, 'other.example');
    const deleted = await run(['bundle', 'delete', 'other.example']);
    assert.deepEqual([deleted.status, deleted.stdout], [0, 'deleted other.example\n']);
    const again = await run(['bundle', 'delete', 'other.example']);
    assert.equal(again.status, 1);
    assert.match(again.stderr, /there is no bundle of other\.example \(ERR_NOT_FOUND\)/);
    assert.equal((await run(['bundle', 'show', 'other.example'])).status, 1);
  });
});
