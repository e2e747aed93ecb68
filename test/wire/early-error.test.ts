/** A protocol error right behind a request: the session ends before its stream is announced, and nothing else. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { it } from 'node:test';
import { startInnerServer } from '../support/inner-server.ts';
import { openStream } from '../support/sds-client.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const field = (name: string, value: string) =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]);
/** POST over http. */
const REQUEST = Buffer.concat([
  Buffer.from([0x83, 0x86]),
  field(':path', '/SpiffeWorkloadAPI/FetchX509SVID'),
  field(':authority', 'a'),
  field('content-type', 'application/grpc'),
]);

const ERRORS: Readonly<Record<string, Buffer>> = {
  'a PING of 5 bytes': frame(6, 0, 0, Buffer.alloc(5)),
  'SETTINGS of 5 bytes': frame(4, 0, 0, Buffer.alloc(5)),
  'DATA of no stream': frame(0, 0, 0, Buffer.from('x')),
  'WINDOW_UPDATE of 0': frame(8, 0, 0, Buffer.alloc(4)),
  'a stream with an even id': frame(1, 4, 2, REQUEST),
  'headers that are not HPACK': frame(1, 5, 3, Buffer.alloc(7, 0xff)),
  'padding that is longer than the frame': frame(
    1,
    0xc,
    3,
    Buffer.concat([Buffer.from([255]), REQUEST.subarray(0, 20)]),
  ),
  'CONTINUATION that continues nothing': frame(9, 4, 1, REQUEST),
};
/** As most clients send it; and as grpc-java does, whose input goes through the filter. */
const SETTINGS = [Buffer.alloc(0), Buffer.from([0, 3, 0, 0, 0, 0])];

it('ends its connection alone', { timeout: 60_000 }, async (t) => {
  const { socket, create } = await startInnerServer(t);
  await create('spiffe://ilinux.io/web');
  for (const [what, bytes] of Object.entries(ERRORS)) {
    for (const settings of SETTINGS) {
      for (let times = 0; times < 5; times += 1) {
        const client = net.connect(socket);
        client.on('error', () => undefined).resume();
        await once(client, 'connect');
        client.write(
          Buffer.concat([PREFACE, frame(4, 0, 0, settings), frame(4, 1, 0), frame(1, 4, 1, REQUEST), bytes]),
        );
        await once(client, 'close');
      }
    }
    const honest = openStream(t, socket, 'default');
    assert.equal((await honest.next()).resources.length, 1, what);
    honest.cancel();
  }
});
