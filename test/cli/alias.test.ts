import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { call, entry, startAdmin } from '../admin/support.ts';
import { sidekey } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';

async function start(t: TestContext) {
  const running = await startAdmin(t);
  const run = (...args: string[]) => sidekey(['alias', ...args], { env: { SIDEKEY_ADMIN_SOCKET: running.socketPath } });
  return { ...running, run };
}

describe('sidekey alias', () => {
  test('set makes one, list shows them, and delete ends one', async (t) => {
    const { run, socketPath } = await start(t);
    await call(socketPath, 'POST', '/v1/entries', { json: entry('web') });
    const set = await run('set', 'Web.Example', WEB);
    assert.deepEqual([set.status, set.stderr], [0, '']);
    assert.match(set.stdout, /^host +web\.example\nspiffe_id +spiffe:\/\/ilinux\.io\/web\ncreated_at /);
    const other = await run('set', 'cert:api/1', WEB, '--output', 'json');
    assert.equal(JSON.parse(other.stdout).host, 'cert:api/1');
    const list = await run('list');
    assert.match(
      list.stdout,
      /^HOST +SPIFFE ID +UPDATED\ncert:api\/1 +spiffe:.*\nweb\.example +spiffe:\/\/ilinux\.io\/web /,
    );
    const deleted = await run('delete', 'WEB.example', '--output', 'json');
    assert.deepEqual(JSON.parse(deleted.stdout), { deleted: 'WEB.example' });
    const { aliases } = JSON.parse((await run('list', '-o', 'json')).stdout);
    assert.deepEqual(
      aliases.map(({ host }: { host: string }) => host),
      ['cert:api/1'],
    );
    const again = await run('delete', 'web.example');
    assert.equal(again.status, 1);
    assert.match(again.stderr, /there is no alias of web\.example \(ERR_NOT_FOUND\)/);
  });

  test('set warns of what no entry gives, and tells what is wrong', async (t) => {
    const { run } = await start(t);
    const warned = await run('set', 'web.example', WEB);
    assert.equal(warned.status, 0);
    assert.match(warned.stderr, /^sidekey: warning: spiffe-id: no entry gives [^\n]+\n$/);
    for (const [host, id, says] of [
      ['ALL', WEB, /meaning of their own/],
      ['web.example', 'spiffe://other.example/web', /other\.example/],
    ] as const) {
      const { status, stderr } = await run('set', host, id);
      assert.equal(status, 1);
      assert.match(stderr, says);
    }
    assert.equal((await run('set', 'web.example')).status, 2);
  });
});
