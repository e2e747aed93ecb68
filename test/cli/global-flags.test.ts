import assert from 'node:assert/strict';
import { test } from 'node:test';
import { moveGlobalFlags } from '../../src/cli/global-flags.ts';

test('flags of every command may come before the command and between its words', () => {
  const isGroup = (command: string) => command === 'entry';
  const rows: readonly (readonly [given: string, args: string])[] = [
    ['entry list -o json', 'entry list -o json'],
    ['-o json entry list --hint x', 'entry list -o json --hint x'],
    ['--admin-socket /a entry -ojson list', 'entry list --admin-socket /a -ojson'],
    ['--output=json proxies --check', 'proxies --output=json --check'],
    ['--admin-url u --token-file f healthcheck', 'healthcheck --admin-url u --token-file f'],
    ['entry', 'entry'],
    ['-o', '-o'],
    ['--help', '--help'],
    ['--version entry', '--version entry'],
    ['entry --help', 'entry --help'],
    ['doctor --envoy f -o json', 'doctor --envoy f -o json'],
  ];
  for (const [given, args] of rows)
    assert.deepEqual(moveGlobalFlags(given.split(' '), isGroup), args.split(' '), given);
  assert.deepEqual(moveGlobalFlags([], isGroup), []);
});
