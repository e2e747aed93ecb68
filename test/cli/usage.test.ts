import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { flagOf, SETTING_KEYS, variableOf } from '../../src/config/settings.ts';
import { ROOT, sidekey } from './support.ts';

const COMMANDS = [
  [],
  ['serve'],
  ['entry'],
  ['entry', 'create'],
  ['entry', 'list'],
  ['entry', 'show'],
  ['entry', 'update'],
  ['entry', 'delete'],
  ['entry', 'count'],
  ['bundle'],
  ['bundle', 'show'],
  ['fetch'],
  ['healthcheck'],
];

describe('sidekey', { concurrency: 2 }, () => {
  for (const command of COMMANDS) {
    test(`${['sidekey', ...command].join(' ')} --help tells how it is used, with status 0`, async () => {
      const { status, stdout, stderr } = await sidekey([...command, '--help']);
      assert.equal(status, 0);
      assert.equal(stderr, '');
      assert.ok(stdout.startsWith(`Usage: ${['sidekey', ...command].join(' ')} `), stdout);
    });
  }

  test('--version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    assert.deepEqual(await sidekey(['--version']), { status: 0, stdout: `${version}\n`, stderr: '' });
  });

  test('serve --help has every setting with its variable', async () => {
    const { stdout } = await sidekey(['serve', '--help']);
    for (const key of SETTING_KEYS) {
      assert.ok(stdout.includes(`${flagOf(key)} `), flagOf(key));
      assert.ok(stdout.includes(variableOf(key)), variableOf(key));
    }
  });

  for (const [args, said] of [
    [[], /Usage: sidekey/],
    [['entry'], /Usage: sidekey entry/],
    [['entyr'], /unknown command 'entyr'.*Did you mean entry\?/s],
    [['entry', 'lst'], /unknown command 'lst'.*Did you mean list\?/s],
    [['entry', 'list', '--selektor', 'a:b'], /unknown option '--selektor'.*Did you mean --selector\?/s],
    [['serve', '--data-dri', '/x'], /unknown option '--data-dri'.*Did you mean --data-dir\?/s],
    [['entry', 'show'], /missing required argument 'id'/],
    [['entry', 'show', 'a', 'b'], /too many arguments/],
    [['entry', 'list', '--output', 'xml'], /Allowed choices are table, json/],
    [['entry', 'create'], /give --spiffe-id and --selector, or --data/],
    [['entry', 'create', '--spiffe-id', 'spiffe://a/b'], /give --spiffe-id and --selector, or --data/],
    [['entry', 'create', '--data', 'x', '--hint', 'y'], /--data goes without/],
    [['entry', 'create', '--selector', 'nocolon'], /type:value/],
    [['entry', 'create', '--x509-svid-ttl', 'soon'], /a duration is/],
    [['entry', 'create', '--data', '/nonexistent'], /--data: .*ENOENT/],
    [['entry', 'create', '--data', '-'], /stdin has no list of entries/],
    [['entry', 'update', 'some-id'], /at least one flag/],
    [['entry', 'list', '--admin-url', 'nonsense'], /--admin-url: "nonsense" is not an http or https URL/],
    [['entry', 'list', '--token-file', 'x'], /--token-file goes with --admin-url/],
    [['entry', 'list', '--admin-url', 'http://x', '--admin-socket', 'y'], /not both/],
    [['entry', 'list', '--admin-url', 'http://x', '--token-file', '/nonexistent'], /--token-file: .*ENOENT/],
    [['serve', '--trust-domain', 'ILINUX.io', '--socket-mode', '9'], /--trust-domain: .*--socket-mode: /s],
  ] as const) {
    test(`${['sidekey', ...args].join(' ')} is used wrongly: status 2, and why`, async () => {
      const { status, stdout, stderr } = await sidekey(args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, said);
      assert.equal(stdout, '');
    });
  }
});
