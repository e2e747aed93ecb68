import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { listenOnTcp } from '../../src/admin/tcp.ts';

type Context = { after(fn: () => void): void };

function listen(t: Context, host: string, more: { port?: number; beyondLoopback?: boolean } = {}) {
  const server = createServer();
  t.after(() => server.close());
  return listenOnTcp(server, { host, port: more.port ?? 0, beyondLoopback: more.beyondLoopback ?? false });
}

describe('the admin API on TCP', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', 'localhost']) {
    test(`listens on ${host}, which is loopback`, async (t) => {
      const { port } = await listen(t, host);
      assert.ok(port > 0);
    });
  }

  for (const host of ['0.0.0.0', '::', '192.0.2.1', '10.0.0.1', '::ffff:192.0.2.1']) {
    test(`does not listen on ${host} unless something else protects it`, async (t) => {
      await assert.rejects(listen(t, host), { code: 'ERR_CONFIG', message: /--admin-listen.*--admin-insecure-listen/ });
    });
  }

  test('listens beyond loopback where it is said that something else protects it', async (t) => {
    const { address } = await listen(t, '0.0.0.0', { beyondLoopback: true });
    assert.equal(address, '0.0.0.0');
  });

  test('says so when the port is taken or the host is unknown', async (t) => {
    const { port } = await listen(t, '127.0.0.1');
    await assert.rejects(listen(t, '127.0.0.1', { port }), { code: 'ERR_SOCKET', message: /EADDRINUSE/ });
    await assert.rejects(listen(t, 'nobody.invalid'), { code: 'ERR_SOCKET', message: /nobody\.invalid/ });
  });
});
