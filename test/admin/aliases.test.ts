import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { call, entry, startAdmin } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const HOST = '/v1/aliases/web.example';

async function start(t: TestContext) {
  const running = await startAdmin(t);
  const ask = (method: string, url: string, json?: unknown) =>
    call(running.socketPath, method, url, json === undefined ? {} : { json });
  return { ...running, ask };
}

describe('an alias', () => {
  test('is made, shown in any case, changed, listed and deleted', async (t) => {
    const { ask, clock } = await start(t);
    await ask('POST', '/v1/entries', entry('web'));
    const now = new Date(clock.now()).toISOString();
    const alias = { host: 'web.example', spiffe_id: WEB, created_at: now, updated_at: now };
    const made = await ask('PUT', '/v1/aliases/Web.Example', { spiffe_id: WEB });
    assert.deepEqual([made.status, made.body], [201, { ...alias, warnings: [] }]);
    assert.deepEqual((await ask('GET', '/v1/aliases/WEB.example')).body, alias);
    clock.advance(1_000);
    const changed = await ask('PUT', HOST, { spiffe_id: `${WEB}/2` });
    assert.equal(changed.status, 200);
    assert.deepEqual([changed.body.created_at === now, changed.body.updated_at === now], [true, false]);
    await ask('PUT', '/v1/aliases/cert%3Aapi%2F1', { spiffe_id: WEB });
    const { aliases } = (await ask('GET', '/v1/aliases')).body;
    assert.deepEqual(
      aliases.map(({ host, spiffe_id: id }: Record<string, string>) => [host, id]),
      [
        ['cert:api/1', WEB],
        ['web.example', `${WEB}/2`],
      ],
    );
    const deleted = await ask('DELETE', '/v1/aliases/WEB.EXAMPLE');
    assert.deepEqual([deleted.status, deleted.text], [204, '']);
    for (const method of ['GET', 'DELETE']) {
      const { status, body } = await ask(method, HOST);
      assert.deepEqual([status, body.code, body.detail], [404, 'ERR_NOT_FOUND', 'there is no alias of web.example']);
    }
  });

  test('of what no entry gives is taken with a warning', async (t) => {
    const { ask } = await start(t);
    const { status, body } = await ask('PUT', HOST, { spiffe_id: WEB });
    assert.equal(status, 201);
    assert.deepEqual(
      body.warnings.map(({ path, problem }: Record<string, string>) => [path, problem]),
      [['/spiffe_id', `no entry gives ${WEB} yet`]],
    );
  });

  test('with a fault is refused, and nothing is set', async (t) => {
    const { ask } = await start(t);
    const rows: readonly (readonly [url: string, body: unknown, path: string])[] = [
      ['/v1/aliases/default', { spiffe_id: WEB }, 'host'],
      ['/v1/aliases/rootca', { spiffe_id: WEB }, 'host'],
      ['/v1/aliases/spiffe%3A%2F%2Filinux.io%2Fweb', { spiffe_id: WEB }, 'host'],
      ['/v1/aliases/*.example', { spiffe_id: WEB }, 'host'],
      [HOST, { spiffe_id: 'spiffe://other.example/web' }, '/spiffe_id'],
      [HOST, { spiffe_id: WEB, more: 1 }, '/more'],
      [HOST, [], ''],
    ];
    for (const [url, json, path] of rows) {
      const { status, body } = await ask('PUT', url, json);
      assert.deepEqual([status, body.code, body.errors[0].path], [400, 'ERR_BAD_INPUT', path], url);
    }
    assert.deepEqual((await ask('GET', '/v1/aliases')).body, { aliases: [] });
    assert.equal((await ask('PUT', `/v1/aliases/${'a'.repeat(253)}`, { spiffe_id: WEB })).status, 201);
    assert.equal((await ask('PUT', `/v1/aliases/${'a'.repeat(254)}`, { spiffe_id: WEB })).status, 400);
  });
});
