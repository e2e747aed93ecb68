/** The filter for clients whose `:authority` is the path of the socket: on frames, and on a server with such a client. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AuthorityFilter } from '../../src/wire/authority-filter.ts';
import { startInnerServer } from '../support/inner-server.ts';

function frame(type: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(1, 5);
  return Buffer.concat([head, payload]);
}

/** A literal with incremental indexing and an indexed name, as grpc-java sends it. */
const literal = (index: number, value: string) =>
  Buffer.concat([Buffer.from([0x40 | index, value.length]), Buffer.from(value)]);
const named = (name: string, value: string) =>
  Buffer.concat([Buffer.from([0x40, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]);

const block = (authority: string) =>
  Buffer.concat([
    Buffer.from([0x3f, 0x81, 0x01, 0x83, 0x86]),
    literal(4, '/a/b'),
    named('x/y', '/1'),
    literal(1, authority),
  ]);

function filtered(bytes: Buffer, cuts: readonly number[] = [], untouched = 0): Buffer {
  const filter = new AuthorityFilter(untouched);
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  let from = 0;
  return Buffer.concat(
    ends.map((end) => {
      const chunk = Buffer.from(bytes.subarray(from, end));
      from = end;
      return filter.take(chunk);
    }),
  );
}

describe('the filter of authorities', () => {
  it('replaces the slashes of a literal authority, and nothing else', () => {
    const before = Buffer.concat([
      frame(4, 0, Buffer.alloc(12)),
      frame(1, 4, block('/tmp/a b.sock')),
      frame(0, 1, block('/data')),
    ]);
    const after = Buffer.concat([
      frame(4, 0, Buffer.alloc(12)),
      frame(1, 4, block('-tmp-a-b.sock')),
      frame(0, 1, block('/data')),
    ]);
    assert.deepEqual(filtered(before), after);
  });

  it('knows padding and priority', () => {
    const payload = (authority: string) =>
      Buffer.concat([Buffer.from([3, 0, 0, 0, 0, 16]), block(authority), Buffer.from('///')]);
    assert.deepEqual(filtered(frame(1, 0x2c, payload('/a'))), frame(1, 0x2c, payload('-a')));
  });

  it('property: valid authorities, cuts and other bytes change nothing; the length never changes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(9), fc.nat(255), fc.uint8Array({ maxLength: 300 }))),
        fc.array(fc.nat(2_000)),
        fc.uint8Array({ maxLength: 30 }),
        (frames, cuts, tail) => {
          const bytes = Buffer.concat([
            ...frames.map(([type, flags, payload]) => frame(type, flags, Buffer.from(payload))),
            tail,
          ]);
          const whole = filtered(bytes);
          assert.deepEqual(filtered(bytes, cuts), whole);
          assert.ok(whole.length <= bytes.length && bytes.length - whole.length < 16_393);
          const [authority] = [frame(1, 4, block('host.example:443'))];
          assert.deepEqual(filtered(authority, cuts), authority);
        },
      ),
    );
  });
});

it('the bytes of a real grpc-java are answered', async (t) => {
  const { socket, create } = await startInnerServer(t);
  await create('spiffe://ilinux.io/web');
  const raw = net.connect(socket);
  t.after(() => raw.destroy());
  const received: Buffer[] = [];
  raw.on('data', (chunk) => received.push(chunk));
  // Captured from java-spiffe 0.8.17 (grpc-java 1.80.0 on Netty) at unix:/tmp/cap.sock.
  raw.write(Buffer.from(GRPC_JAVA, 'hex'));
  const isAnswered = () => Buffer.concat(received).includes('spiffe://ilinux.io/web');
  while (!isAnswered()) await once(raw, 'data');
});

const GRPC_JAVA =
  '505249202a20485454502f322e300d0a0d0a534d0d0a0d0a' +
  '000018040000000000000200000000000300000000000400100000000600002000' +
  '000004080000000000000f0001' +
  '000000040100000000' +
  '00009e010400000003410d2f746d702f6361702e736f636b44202f537069666665576f726b6c6f61644150492f46657463685835303953564944' +
  '83865f106170706c69636174696f6e2f677270634002746508747261696c6572737a16677270632d6a6176612d6e657474792f312e38302e30' +
  '4012776f726b6c6f61642e7370696666652e696f04747275654014677270632d6163636570742d656e636f64696e6704677a6970' +
  '0000050001000000030000000000';
