import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { tempDir } from '../support/temp-dir.ts';
import { sidekey } from './support.ts';

const ID = ['--spiffe-id', 'spiffe://ilinux.io/web'];
const SERVER = ['--listen', '0.0.0.0:8443', '--to', '127.0.0.1:8080'];
const DB = ['--upstream', 'db=10.0.0.7:8443,spiffe://ilinux.io/db'];

function bootstrap(...args: readonly string[]): ReturnType<typeof sidekey> {
  return sidekey(['envoy', 'bootstrap', ...args], { env: { XDG_RUNTIME_DIR: '' } });
}

describe('sidekey envoy bootstrap', { concurrency: 2 }, () => {
  test('prints a bootstrap that says what it is for', async () => {
    const { status, stdout, stderr } = await bootstrap(...ID, ...SERVER, ...DB, '--socket', '/pipe');
    assert.deepEqual([status, stderr], [0, '']);
    assert.ok(
      stdout.startsWith('# Envoy as spiffe://ilinux.io/web, for HTTP, with identities from Sidekey.\n'),
      stdout,
    );
    const { endpoint } = parse(stdout).static_resources.clusters[0].load_assignment.endpoints[0].lb_endpoints[0];
    assert.deepEqual(endpoint, { address: { pipe: { path: '/pipe' } } });
  });

  test('warns on stderr where no pipe is given and the default one does not exist', async (t) => {
    const folder = tempDir(t);
    const missing = await sidekey(['envoy', 'bootstrap', ...ID, ...SERVER], {
      env: { XDG_RUNTIME_DIR: folder, SIDEKEY_SOCKET: '' },
    });
    assert.equal(missing.status, 0);
    assert.match(
      missing.stderr,
      /^sidekey: warning: the bootstrap names the pipe \/\S+, which does not exist here: give --socket with the path that this Envoy sees\n$/,
    );
    const user = process.getuid!() === 0 ? undefined : await bootstrap(...ID, ...SERVER);
    if (user !== undefined) assert.match(user.stderr, /which does not exist here \(XDG_RUNTIME_DIR is not set, /);
    assert.equal((await bootstrap(...ID, ...SERVER, '--socket', '/pipe')).stderr, '');
  });

  test('without --spiffe-id is used wrongly', async () => {
    const { status, stderr } = await bootstrap(...SERVER);
    assert.equal(status, 2);
    assert.match(stderr, /required option '--spiffe-id <id>'/);
  });

  test('all faults are told at once', async () => {
    const { status, stdout, stderr } = await bootstrap('--spiffe-id', 'web', '--listen', 'a:1', '--to', 'b:0');
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /--spiffe-id: .*--listen: .*--to: /s);
  });
});
