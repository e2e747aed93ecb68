/** The maximum of connections of a listener, and whose connection is closed for one more. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { NewestConnections } from '../../src/base/newest-connections.ts';

async function listen(t: TestContext, most: number) {
  const server = createServer((socket) => socket.on('error', () => undefined).write('x'));
  let crowded = 0;
  const connections = new NewestConnections(server, most, () => {
    crowded += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  /** A connection that the server has accepted. */
  const open = async (from = '127.0.0.1') => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from }).on('error', () => undefined);
    sockets.push(socket);
    await once(socket, 'data');
    return socket.resume();
  };
  return { open, connections, crowded: () => crowded };
}

const closed = (socket: Socket) => (socket.closed ? undefined : once(socket, 'close'));

test('the oldest connection is closed for one more', async (t) => {
  const { open, crowded } = await listen(t, 2);
  const [first, second] = [await open(), await open()];
  const third = await open();
  await closed(first);
  assert.equal(crowded(), 1);
  await open();
  await closed(second);
  assert.ok(!third.destroyed);
  third.destroy();
  await closed(third);
});

test('a client that opens many displaces its own, not those of others', async (t) => {
  const { open, crowded } = await listen(t, 4);
  const quiet = await open('127.0.0.2');
  const greedy: Socket[] = [];
  for (let i = 0; i < 20; i += 1) greedy.push(await open('127.0.0.3'));
  const late = await open('127.0.0.4');
  await Promise.all(greedy.slice(0, 18).map(closed));
  assert.equal(crowded(), 18);
  assert.ok([quiet, late, ...greedy.slice(18)].every(({ destroyed }) => !destroyed));
});

test('all are closed at the end', async (t) => {
  const { open, connections } = await listen(t, 4);
  const all = [await open(), await open('127.0.0.2')];
  connections.closeAll();
  await Promise.all(all.map(closed));
});
