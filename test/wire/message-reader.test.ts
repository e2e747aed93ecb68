import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MessageBuffers, SPARE_BYTES } from '../../src/wire/message-buffers.ts';
import { MAX_MESSAGE_BYTES, MessageReader, type Sink } from '../../src/wire/message-reader.ts';
import { Status, StatusError } from '../../src/wire/types.ts';
import { grpcMessage } from '../support/http2-frames.ts';

class Holdings {
  held = 0;
  limit = Number.POSITIVE_INFINITY;
  hold(bytes: number): void {
    if (this.held + bytes > this.limit) throw new StatusError(Status.RESOURCE_EXHAUSTED, 'too much');
    this.held += bytes;
  }
  release(bytes: number): void {
    this.held -= bytes;
  }
}

/** Copies each message, since its bytes are valid only during the call; stops after `most` messages. */
class Taken implements Sink {
  readonly messages: Buffer[] = [];
  #most: number;
  constructor(most = Number.POSITIVE_INFINITY) {
    this.#most = most;
  }
  take(message: Buffer): boolean {
    this.messages.push(Buffer.from(message));
    return this.messages.length < this.#most;
  }
}

function readerOf(holdings = new Holdings(), buffers = new MessageBuffers()): MessageReader {
  return new MessageReader(buffers, holdings);
}

test('messages are read unchanged, wherever the chunks are cut', () => {
  const message = fc.uint8Array({ maxLength: 50 });
  const large = fc.integer({ min: 0, max: 150_000 }).map((length) => new Uint8Array(length).fill(length % 251));
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 4, arbitrary: message }, large), { maxLength: 6 }),
      fc.array(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 70_000 })), { minLength: 1 }),
      (messages, cuts) => {
        const bytes = Buffer.concat(messages.map((one) => grpcMessage(one)));
        const holdings = new Holdings();
        const reader = readerOf(holdings);
        const taken = new Taken();
        for (let at = 0, cut = 0; at < bytes.length; cut += 1) {
          const chunk = bytes.subarray(at, at + cuts[cut % cuts.length]!);
          assert.equal(reader.read(chunk, taken), chunk.length);
          at += chunk.length;
        }
        assert.deepEqual(
          taken.messages,
          messages.map((one) => Buffer.from(one)),
        );
        assert.equal(reader.unfinished, false);
        assert.equal(holdings.held, 0);
      },
    ),
  );
});

test('a sink that stops gets no more messages, and read returns the number of bytes used', () => {
  const bytes = Buffer.concat(['a', 'bc', 'def'].map((text) => grpcMessage(Buffer.from(text))));
  const reader = readerOf();
  const first = new Taken(1);
  const used = reader.read(bytes, first);
  assert.deepEqual(first.messages.map(String), ['a']);
  const rest = new Taken();
  assert.equal(used + reader.read(bytes.subarray(used), rest), bytes.length);
  assert.deepEqual(rest.messages.map(String), ['bc', 'def']);
});

test('a message that is too large or compressed is refused by its head, before memory is charged', () => {
  const head = (flag: number, length: number) => {
    const bytes = Buffer.alloc(5);
    bytes.writeUInt8(flag, 0);
    bytes.writeUInt32BE(length, 1);
    return bytes;
  };
  const holdings = new Holdings();
  assert.throws(() => readerOf(holdings).read(head(0, MAX_MESSAGE_BYTES + 1), new Taken()), {
    status: Status.RESOURCE_EXHAUSTED,
    message: 'message has 1048577 bytes; the limit is 1048576',
  });
  assert.throws(() => readerOf(holdings).read(head(0, 0xffff_ffff), new Taken()), {
    status: Status.RESOURCE_EXHAUSTED,
  });
  assert.throws(() => readerOf(holdings).read(head(2, 1), new Taken()), {
    status: Status.INTERNAL,
    message: /begins with flag 2/,
  });
  assert.throws(() => readerOf(holdings).read(head(1, 1), new Taken()), {
    status: Status.INTERNAL,
    message: /flagged as compressed/,
  });
  const reader = readerOf(holdings);
  assert.equal(reader.read(head(0, MAX_MESSAGE_BYTES), new Taken()), 5);
  assert.equal(reader.unfinished, true);
  assert.equal(holdings.held, 0);
});

test('the memory of an unfinished message is limited, and released with or without the message', () => {
  const holdings = new Holdings();
  holdings.limit = SPARE_BYTES;
  const one = readerOf(holdings);
  const other = readerOf(holdings);
  const message = grpcMessage(Buffer.alloc(10_000));
  one.read(message.subarray(0, 100), new Taken());
  assert.ok(holdings.held >= 10_000);
  assert.throws(() => other.read(message.subarray(0, 100), new Taken()), { status: Status.RESOURCE_EXHAUSTED });
  one.read(message.subarray(100), new Taken());
  assert.equal(holdings.held, 0);
  one.read(message.subarray(0, 100), new Taken());
  one.discard();
  one.discard();
  assert.equal(holdings.held, 0);
});

test('the buffers of messages in several chunks are reused', () => {
  const buffers = new MessageBuffers();
  const seen = new Set<ArrayBufferLike>();
  const sink: Sink = {
    take(message) {
      seen.add(message.buffer);
      return true;
    },
  };
  const message = grpcMessage(Buffer.alloc(61_000));
  for (let at = 0; at < 10; at += 1) {
    const reader = readerOf(new Holdings(), buffers);
    reader.read(message.subarray(0, 16_384), sink);
    reader.read(message.subarray(16_384), sink);
  }
  assert.equal(seen.size, 1);
  const [first, second] = [buffers.take(61_000), buffers.take(61_000)];
  assert.notEqual(first.buffer, second.buffer);
});

test('a sink that throws leaves no memory charged', () => {
  const holdings = new Holdings();
  const reader = readerOf(holdings);
  const message = grpcMessage(Buffer.alloc(10_000));
  reader.read(message.subarray(0, 100), new Taken());
  const broken: Sink = {
    take() {
      throw new Error('broken');
    },
  };
  assert.throws(() => reader.read(message.subarray(100), broken), /broken/);
  assert.equal(holdings.held, 0);
});
