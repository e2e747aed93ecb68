import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type AdminError, connectAdmin } from '../../src/client/client.ts';
import { entry, startAdmin, TOKEN } from '../admin/support.ts';
import { tempDir } from '../support/temp-dir.ts';

const failure = (promise: Promise<unknown>): Promise<AdminError> =>
  promise.then(
    () => assert.fail('it succeeded'),
    (thrown) => thrown,
  );

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('the client of the admin API', () => {
  test('asks over the Unix socket and over TCP with the token', async (t) => {
    const { socketPath, tcp } = await startAdmin(t);
    const unix = connectAdmin({ socketPath });
    const made = await unix.json<{ id: string }>('POST', '/v1/entries', { body: entry('a') });
    const overTcp = connectAdmin({ url: `http://127.0.0.1:${tcp.port}`, token: TOKEN });
    assert.deepEqual(await overTcp.json('GET', `/v1/entries/${made.id}`), made);
    assert.equal(await overTcp.json('DELETE', `/v1/entries/${made.id}`), undefined);
    assert.match(
      await unix.text('GET', '/v1/bundle', { headers: { accept: 'application/x-pem-file' } }),
      /^-----BEGIN/,
    );
  });

  test('throws what the problem document says', async (t) => {
    const { socketPath, tcp } = await startAdmin(t);
    const client = connectAdmin({ socketPath });
    const bad = await failure(client.json('POST', '/v1/entries', { body: entry('a', { hint: 4 }) }));
    assert.deepEqual([bad.code, bad.status, bad.problems[0]?.path], ['ERR_BAD_INPUT', 400, '/hint']);
    const missing = await failure(client.text('GET', '/v1/entries/none'));
    assert.deepEqual([missing.code, missing.status], ['ERR_NOT_FOUND', 404]);
    assert.match(missing.message, /no entry with the id none/);
    const stranger = await failure(
      connectAdmin({ url: `http://127.0.0.1:${tcp.port}`, token: undefined }).text('GET', '/v1/entries'),
    );
    assert.deepEqual([stranger.code, stranger.status], ['ERR_UNAUTHORIZED', 401]);
  });

  test('hears that a body is too large, however large it is', async (t) => {
    const { socketPath } = await startAdmin(t);
    const client = connectAdmin({ socketPath });
    const error = await failure(client.text('POST', '/v1/entries', { body: 'x'.repeat(20_000_000) }));
    assert.equal(error.code, 'ERR_TOO_LARGE');
  });

  test('says where it found nobody', async (t) => {
    const socketPath = path.join(tempDir(t), 'admin.sock');
    const nobody = await failure(connectAdmin({ socketPath }).text('GET', '/'));
    assert.deepEqual([nobody.code, nobody.status], ['ERR_UNREACHABLE', 0]);
    assert.match(nobody.message, /admin\.sock: this socket does not exist/);
    const refused = await failure(connectAdmin({ url: 'http://127.0.0.1:1', token: undefined }).text('GET', '/'));
    assert.match(refused.message, /127\.0\.0\.1:1: no process listens there/);
  });

  test('says so when what answers is not Sidekey', async (t) => {
    for (const body of ['<h1>Bad gateway</h1>', '{"code":7}', '']) {
      const url = await serve(t, (_request, response) => response.writeHead(502).end(body));
      const error = await failure(connectAdmin({ url, token: undefined }).text('GET', '/'));
      assert.deepEqual([error.code, error.status], ['ERR_PROTOCOL', 502]);
    }
  });

  test('says so when the answer breaks off', async (t) => {
    const url = await serve(t, (_request, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('half');
      response.destroy();
    });
    const error = await failure(connectAdmin({ url, token: undefined }).json('GET', '/'));
    assert.equal(error.code, 'ERR_UNREACHABLE');
  });

  test('says so when the answer is not JSON', async (t) => {
    const url = await serve(t, (_request, response) => response.end('<h1>Hello</h1>'));
    const error = await failure(connectAdmin({ url, token: undefined }).json('GET', '/'));
    assert.deepEqual([error.code, error.status], ['ERR_PROTOCOL', 200]);
  });
});
