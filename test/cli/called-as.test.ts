import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { COMMAND_NAMES } from '../../src/cli/called-as.ts';
import { tempDir } from '../support/temp-dir.ts';
import { cleanEnvironment, ROOT, sidekey } from './support.ts';

/** What a module says in a process of its own, which bin/sidekey was called as. */
function commandAs(called: string, PATH: string): string {
  const module = JSON.stringify(path.join(ROOT, 'src/cli/called-as.ts'));
  const script = `import { asCalled } from ${module}; console.log(asCalled('kill 1; cd / && sidekey serve --socket /sidekey x'));`;
  const env = { ...cleanEnvironment(), PATH, _SIDEKEY_CALLED_AS: called };
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env,
  });
  assert.equal(stderr, '');
  return stdout.trimEnd();
}

test('printed commands have the name that the command was called by', (t) => {
  const directory = tempDir(t);
  const bin = path.join(directory, 'bin');
  mkdirSync(bin);
  // Not /usr/bin, where a sidekey may be installed.
  const other = path.join(directory, 'other');
  mkdirSync(other);
  symlinkSync(path.join(ROOT, 'bin/sidekey'), path.join(bin, 'sidekey'));
  const expect = (name: string) => `kill 1; cd / && ${name} serve --socket /sidekey x`;
  assert.equal(commandAs('bin/sidekey', other), expect('bin/sidekey'));
  assert.equal(commandAs(path.join(bin, 'sidekey'), `${other}:${bin}`), expect('sidekey'));
  assert.equal(commandAs(path.join(ROOT, 'bin/sidekey'), `${other}:${bin}`), expect('sidekey'), 'a link to it counts');
  assert.equal(commandAs('/odd dir/sidekey', `${other}:${bin}`), expect("'/odd dir/sidekey'"));
  assert.equal(commandAs('', other), expect('sidekey'));
});

test('bin/sidekey passes its name on', (t) => {
  const directory = tempDir(t);
  const server = { TRUST_DOMAIN: 'ilinux.io', DATA_DIR: `${directory}/data`, SOCKET: `${directory}/run/agent.sock` };
  const settings = Object.fromEntries(Object.entries(server).map(([name, value]) => [`SIDEKEY_${name}`, value]));
  const env = { ...cleanEnvironment(), ...settings };
  const { stdout } = spawnSync('/bin/sh', ['-c', 'bin/sidekey doctor'], { encoding: 'utf8', env, cwd: ROOT });
  assert.match(stdout, /^ {2}run: bin\/sidekey serve /m, stdout);
});

test('the commands that messages name are those that there are', async () => {
  const { stdout } = await sidekey(['--help']);
  const commands = stdout.split('Commands:')[1]!;
  assert.deepEqual(
    [...commands.matchAll(/^ {2}([\w-]+)/gm)].map(([, name]) => name).filter((name) => name !== 'help'),
    [...COMMAND_NAMES],
  );
});

test('messages name the commands by it too: errors, warnings, fixes, notes, help', () => {
  const ask = (...args: string[]) => {
    const { stdout, stderr } = spawnSync('/bin/sh', ['-c', 'bin/sidekey "$@"', 'sh', ...args], {
      encoding: 'utf8',
      env: cleanEnvironment(),
      cwd: ROOT,
    });
    return `${stdout}${stderr}`;
  };
  const nowhere = ['--admin-socket', '/nonexistent/admin.sock'];
  for (const args of [
    ['entry', 'list', ...nowhere],
    ['doctor', ...nowhere],
    ['fetch', '--socket', '/nonexistent/agent.sock'],
    ['envoy', 'bootstrap', '--help'],
    ['completion', '--help'],
  ]) {
    const said = ask(...args);
    assert.match(said, /bin\/sidekey (serve|envoy|completion|doctor)/, args.join(' '));
    assert.doesNotMatch(
      said,
      new RegExp(`(?<![\\w./:=-]|^Usage: )sidekey (${COMMAND_NAMES.join('|')})\\b`, 'm'),
      args.join(' '),
    );
  }
});
