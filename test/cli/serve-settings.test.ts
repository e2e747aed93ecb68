import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { tempDir } from '../support/temp-dir.ts';
import { sidekey } from './support.ts';

describe('a switch as a flag', () => {
  // Another fault, so that none of these serves; a switch that is taken adds no line to it.
  const run = (flag: string, env: Record<string, string> = {}) =>
    sidekey(['serve', '--trust-domain', 'ilinux.io', flag, '--data-dir', '/x', '--log-level', 'loud'], {
      env: { SIDEKEY_SOCKET: '/y/a', ...env },
    });

  for (const flag of ['', '=true', '=false', '=0']) {
    test(`takes ${flag === '' ? 'no value' : flag}`, async () => {
      const { status, stderr } = await run(`--allow-weak-selectors${flag}`);
      assert.equal(status, 2);
      assert.match(stderr, /^sidekey: --log-level: "loud"/);
      assert.doesNotMatch(stderr, /weak/);
    });
  }

  test('takes nothing that is neither true nor false', async () => {
    const { stderr } = await run('--allow-weak-selectors=maybe');
    assert.match(stderr, /--allow-weak-selectors: "maybe" is neither true nor false/);
  });

  test('may be switched off where a variable switches it on', async (t) => {
    const entries = path.join(tempDir(t), 'entries.yaml');
    writeFileSync(entries, 'entries: [{spiffe_id: spiffe://ilinux.io/a, selectors: [unix:path:/bin/a]}]');
    const args = ['serve', '--trust-domain', 'ilinux.io', '--entries', entries, '--allow-weak-selectors=false'];
    const place = path.join(tempDir(t), 'x');
    args.push('--data-dir', place, '--socket', `${place}.run/a.sock`);
    const { status, stderr } = await sidekey(args, { env: { SIDEKEY_ALLOW_WEAK_SELECTORS: 'true' } });
    assert.equal(status, 2);
    assert.match(stderr, /\/entries\/0\/selectors/);
    assert.ok(!existsSync(place));
  });
});

test('what settings name is looked at before anything is made', async (t) => {
  const directory = tempDir(t);
  const broken = path.join(directory, 'entries.yaml');
  const open = path.join(directory, 'token');
  writeFileSync(broken, 'entries: [{spiffe_id: x}]');
  writeFileSync(open, 'sixteen-letters!');
  chmodSync(open, 0o644);
  const args = ['serve', '--trust-domain', 'ilinux.io', '--data-dir', path.join(directory, 'data')];
  args.push('--socket', path.join(directory, 'run/a.sock'));
  for (const [more, says] of [
    [['--entries', broken], /entries\.yaml:1 \/entries\/0\/spiffe_id/],
    [
      ['--admin-token-file', open],
      /--admin-token-file: .*is open to others.*write a new token to a new file of mode 0600/,
    ],
    [['--admin-listen', '192.0.2.1:0'], /--admin-listen: .*not a loopback/],
    [['--entries', '/nope'], /--entries: "\/nope" cannot be read: ENOENT.*; it is a file/],
    [['--socket-group', 'nosuch'], /--socket-group: this host has no group "nosuch"/],
  ] as const) {
    const { status, stderr } = await sidekey([...args, ...more]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, says);
    assert.deepEqual(readdirSync(directory).sort(), ['entries.yaml', 'token']);
  }
});
