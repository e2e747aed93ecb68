import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { SidekeyError } from '../../src/base/errors.ts';
import type { Flags } from '../../src/config/given.ts';
import { loadServeConfig } from '../../src/config/load.ts';
import { tempDir } from '../support/temp-dir.ts';

const load = (flags: Flags, env: Record<string, string> = {}) =>
  loadServeConfig({ flags: { trustDomain: 'example.org', ...flags }, env, uid: 0, folder: '/etc/sidekey' });

const DISK: Flags = { upstream: 'disk', upstreamCertFile: 'ca.crt', upstreamKeyFile: '/keys/ca.key' };
const VAULT: Flags = { upstream: 'vault', vaultAddr: 'https://vault.example.org:8200' };
const TOKEN: Flags = { ...VAULT, vaultTokenFile: '/t' };
const APPROLE: Flags = { ...VAULT, vaultApproleRoleIdFile: '/r', vaultApproleSecretIdFile: '/s' };
const COMMAND: Flags = { upstream: 'command', upstreamCommand: ['/bin/sign', '--with=it', ''] };

test('each upstream takes its own settings', async () => {
  const disk = await load({ ...DISK, upstreamBundleFile: 'roots.crt' });
  assert.deepEqual(
    [disk.upstreamCertFile, disk.upstreamKeyFile, disk.upstreamBundleFile],
    ['/etc/sidekey/ca.crt', '/keys/ca.key', '/etc/sidekey/roots.crt'],
  );
  const vault = await load({ ...TOKEN, vaultMount: '/pki/inner/', vaultNamespace: 'team/a', vaultCaFile: 'ca.pem' });
  assert.deepEqual(
    [vault.vaultAddr, vault.vaultMount, vault.vaultNamespace, vault.vaultCaFile],
    ['https://vault.example.org:8200', 'pki/inner', 'team/a', '/etc/sidekey/ca.pem'],
  );
  assert.equal((await load({ ...APPROLE, vaultApproleMount: 'roles' })).vaultApproleMount, 'roles');
  const command = await load({ ...COMMAND, upstreamTimeout: '2m' });
  assert.deepEqual([command.upstreamCommand, command.upstreamTimeout], [['/bin/sign', '--with=it', ''], 120]);
});

test('a program with its arguments is a list in YAML, and in a variable', async (t) => {
  const config = path.join(tempDir(t), 'sidekey.yaml');
  writeFileSync(config, 'upstream: command\nupstreamCommand: [/bin/sign, "a, b", --with]\n');
  assert.deepEqual((await load({ config })).upstreamCommand, ['/bin/sign', 'a, b', '--with']);
  const env = { SIDEKEY_UPSTREAM: 'command', SIDEKEY_UPSTREAM_COMMAND: '/bin/sign,a' };
  assert.deepEqual((await load({}, env)).upstreamCommand, ['/bin/sign', 'a']);
});

for (const [is, flags, reasons] of [
  [
    'an unknown kind',
    { upstream: 'aws' },
    [/^--upstream: "aws" is not a known value; give one of self, disk, vault, command$/],
  ],
  [
    'disk alone',
    { upstream: 'disk' },
    [
      /^--upstream-cert-file: it is not set, and --upstream is disk; the upstream disk needs it$/,
      /^--upstream-key-file: it is not set/,
    ],
  ],
  [
    'vault alone',
    { upstream: 'vault' },
    [
      /^--vault-addr: it is not set/,
      /^--vault-token-file: it is not set.*give it, or --vault-approle-role-id-file and --vault-approle-secret-id-file$/,
    ],
  ],
  ['command alone', { upstream: 'command' }, [/^--upstream-command: it is not set/]],
  ['half an AppRole', { ...VAULT, vaultApproleRoleIdFile: '/r' }, [/^--vault-approle-secret-id-file: it is not set/]],
  [
    'token and AppRole',
    { ...APPROLE, vaultTokenFile: '/t' },
    [/^--vault-approle-role-id-file: --vault-token-file is given, too/],
  ],
  [
    'settings of another kind',
    { ...DISK, vaultAddr: 'https://v', upstreamCommand: ['/x'] },
    [
      /^--upstream-command: it has no effect with the upstream disk; give --upstream command, or leave it out$/,
      /^--vault-addr: it has no effect/,
    ],
  ],
  [
    'settings without a kind',
    { upstreamBundleFile: '/x', upstreamTimeout: '5s' },
    [
      /^--upstream-timeout: it has no effect with the upstream self; give --upstream vault or command/,
      /^--upstream-bundle-file: it has no effect/,
    ],
  ],
  [
    'the life of a root that somebody else keeps',
    { ...DISK, rootTtl: '30d' },
    [/^--root-ttl: it has no effect with the upstream disk; give --upstream self, or leave it out$/],
  ],
  [
    'the life of an offline root',
    { offlineRoot: 'true', rootTtl: '30d' },
    [/^--root-ttl: it has no effect with --offline-root; whoever keeps the offline root decides/],
  ],
  [
    'a relative program',
    { upstream: 'command', upstreamCommand: ['sign'] },
    [/^--upstream-command: "sign" is not an absolute path/],
  ],
  [
    'http beyond loopback',
    { ...TOKEN, vaultAddr: 'http://vault.example.org:8200' },
    [/^--vault-addr: .* has no encryption, and vault\.example\.org is not a loopback address/],
  ],
  [
    'a password in the URL',
    { ...TOKEN, vaultAddr: 'https://u:secret@v' },
    [/^--vault-addr: it has a user or a password; /],
  ],
  ['another scheme', { ...TOKEN, vaultAddr: 'unix:///run/vault.sock' }, [/^--vault-addr: .*is not an http URL/]],
  ['a query', { ...TOKEN, vaultAddr: 'https://v?x=1' }, [/^--vault-addr: .*has a query or a fragment/]],
  ['a mount that climbs', { ...TOKEN, vaultMount: '../sys' }, [/^--vault-mount: "\.\.\/sys" is not a path of Vault/]],
  [
    'a secret in the directory of the pipe',
    { ...DISK, upstreamKeyFile: '/run/sidekey/ca.key' },
    [/^--upstream-key-file: "\/run\/sidekey\/ca\.key" is in the directory of the pipe/],
  ],
  ['a time without an end', { ...COMMAND, upstreamTimeout: '1h' }, [/^--upstream-timeout: "1h" is too long/]],
] as const satisfies [string, Flags, RegExp[]][]) {
  test(`${is} is refused, and the flag is named`, async () => {
    const error = await load(flags).then(
      () => assert.fail('it was accepted'),
      (thrown: SidekeyError) => thrown,
    );
    const lines = error.message.split('\n');
    for (const reason of reasons)
      assert.ok(
        lines.some((line) => reason.test(line)),
        `${reason}: ${error.message}`,
      );
    assert.equal(lines.length, is === 'a relative program' ? lines.length : reasons.length, error.message);
    assert.doesNotMatch(error.message, /secret@/);
  });
}

test('http to this host is allowed', async () => {
  for (const vaultAddr of ['http://127.0.0.1:8200', 'http://[::1]:8200', 'http://localhost:8200']) {
    assert.equal((await load({ ...TOKEN, vaultAddr })).vaultAddr, vaultAddr);
  }
});

test('what a file with faults would have set is not missed', async (t) => {
  const config = path.join(tempDir(t), 'sidekey.yaml');
  writeFileSync(config, 'vaultAdr: https://v\n');
  await assert.rejects(load({ config, upstream: 'vault' }), (error: Error) => {
    assert.doesNotMatch(error.message, /not set/);
    return true;
  });
});
