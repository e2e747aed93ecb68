import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { flagOf, SETTING_KEYS, variableOf } from '../../src/config/settings.ts';
import { tempDir } from '../support/temp-dir.ts';
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
  ['bundle', 'set'],
  ['bundle', 'list'],
  ['bundle', 'delete'],
  ['alias'],
  ['alias', 'set'],
  ['alias', 'list'],
  ['alias', 'delete'],
  ['explain'],
  ['envoy'],
  ['fetch'],
  ['envoy', 'bootstrap'],
  ['doctor'],
  ['healthcheck'],
  ['proxies'],
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

  test('a text that is not UTF-8 is used wrongly: status 2, and its file', async (t) => {
    const file = path.join(tempDir(t), 'entries.json');
    const hint = Buffer.from([0x22, 0xff, 0x22]);
    writeFileSync(file, Buffer.concat([Buffer.from('{"entries":[{"hint":'), hint, Buffer.from('}]}')]));
    const { status, stderr } = await sidekey(['entry', 'create', '--data', file]);
    assert.deepEqual([status, stderr], [2, `sidekey: --data: ${file} is not UTF-8\n`]);
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
    [['entry', 'list', '--output', 'xml'], /Allowed choices are table, wide, name, json, yaml/],
    [['entry', 'create'], /give --spiffe-id and --selector, or --data/],
    [['entry', 'create', '--spiffe-id', 'spiffe://a/b'], /give --spiffe-id and --selector, or --data/],
    [['entry', 'create', '--data', 'x', '--hint', 'y'], /--data can't be combined/],
    [['entry', 'create', '--selector', 'nocolon'], /type:value/],
    [['entry', 'create', '--x509-svid-ttl', 'soon'], /a duration is/],
    [['entry', 'create', '--data', '/nonexistent'], /--data: .*ENOENT/],
    [['entry', 'create', '--data', '-'], /--data: stdin:1: it has no entries/],
    [['entry', 'update', 'some-id'], /at least one flag/],
    [['entry', 'list', '--admin-url', 'nonsense'], /--admin-url: "nonsense" is not an http or https URL/],
    [['entry', 'list', '--token-file', 'x'], /--token-file goes with --admin-url/],
    [['entry', 'list', '--admin-url', 'http://x', '--admin-socket', 'y'], /not both/],
    [['entry', 'list', '--admin-url', 'http://x', '--token-file', '/nonexistent'], /--token-file: .*ENOENT/],
    [['bundle', 'show', '--output', 'json', '--format', 'pem'], /--output json and --format pem contradict/],
    [['alias', 'set', 'x'], /missing required argument 'spiffe-id'/],
    [['bundle', 'set', 'other.example'], /required option '--file/],
    [['explain'], /give exactly one of --pid, --container, --selector or a decision id/],
    [['explain', 'd-1', '--pid', '1'], /give exactly one of/],
    [['explain', '--pid', 'x'], /Give a number/],
    [['explain', '--selector', 'nocolon'], /A selector is type:value/],
    [['explain', '--selector', 'unix:'], /A selector is type:value/],
    [['proxies', '--watch', '--check'], /not both/],
    [['doctor', '--envoy-admin', 'x'], /Give a URL/],
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
