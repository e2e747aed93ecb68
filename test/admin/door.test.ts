import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request, type ServerResponse } from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { createDoor } from '../../src/admin/door.ts';
import { TestClock } from '../support/clock.ts';
import { tempDir } from '../support/temp-dir.ts';

async function open(t: Parameters<typeof tempDir>[0]) {
  const clock = new TestClock();
  const responses: ServerResponse[] = [];
  const asked = Promise.withResolvers<void>();
  const door = createDoor(
    () => ({ via: 'tcp' }),
    (_request, response) => {
      responses.push(response);
      asked.resolve();
    },
    clock,
  );
  const socketPath = path.join(tempDir(t), 'door.sock');
  door.server.listen(socketPath);
  await once(door.server, 'listening');
  t.after(() => door.server.closeAllConnections());
  return { clock, door, responses, asked: asked.promise, socketPath };
}

describe('a door that closes', () => {
  test('lets the running request end and takes no new one', async (t) => {
    const { door, responses, asked, socketPath } = await open(t);
    const answered = once(request({ socketPath, agent: new Agent({ keepAlive: true }) }).end(), 'response');
    await asked;
    const closed = door.close();
    await assert.rejects(once(net.connect(socketPath), 'connect'), /ENOENT|ECONNREFUSED/);
    responses[0]!.end('done');
    const [response] = await answered;
    response.resume();
    assert.equal(response.statusCode, 200);
    await closed;
  });

  test('cuts what is left after a second', async (t) => {
    const { clock, door, asked, socketPath } = await open(t);
    const cut = assert.rejects(once(request({ socketPath, agent: false }).end(), 'response'), /socket hang up/);
    await asked;
    const closed = door.close();
    clock.advance(999);
    assert.equal(clock.pending, 1);
    clock.advance(1);
    await cut;
    await closed;
  });

  test('does not wait for idle connections, and leaves no deadline behind', async (t) => {
    const { clock, door, responses, asked, socketPath } = await open(t);
    const agent = new Agent({ keepAlive: true });
    const answered = once(request({ socketPath, agent }).end(), 'response');
    await asked;
    responses[0]!.end();
    const [response] = await answered;
    response.resume();
    await once(response, 'end');
    await door.close();
    assert.equal(clock.pending, 0);
  });

  test('closes when it never opened, and when its server was closed before', async (t) => {
    const never = createDoor(
      () => ({ via: 'tcp' }),
      () => {},
      new TestClock(),
    );
    await never.close();
    const { door } = await open(t);
    door.server.close();
    await door.close();
  });
});
