/**
 * Takes the messages out of one call's bytes, which may be cut anywhere: a flag, a length, and so many bytes.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Length-Prefixed-Message"
 */

import type { MessageBuffers } from './message-buffers.ts';
import { Status, StatusError } from './types.ts';

/** A real Envoy's DiscoveryRequest has 61 KB. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;
/** Flag and length. */
export const HEAD_BYTES = 5;

/** What unfinished messages are charged to. */
export interface Holdings {
  /** @throws LimitError when it is too much */
  hold(bytes: number): void;
  release(bytes: number): void;
}

/** Who takes the messages. */
export interface Sink {
  /**
   * Told of each message; the bytes are its own only until it returns. Returns false where no more is wanted now.
   */
  take(message: Buffer): boolean;
}

export class MessageReader {
  readonly #buffers: MessageBuffers;
  readonly #holdings: Holdings;
  /** How much of the head has come, and the length that it says so far. */
  #headBytes = 0;
  #length = 0;
  /** Where a message is put together that comes in parts, and how much of it has come. */
  #buffer: Buffer | undefined;
  #filled = 0;

  constructor(buffers: MessageBuffers, holdings: Holdings) {
    this.#buffers = buffers;
    this.#holdings = holdings;
  }

  /** True if a message has begun and not come whole. */
  get unfinished(): boolean {
    return this.#headBytes > 0;
  }

  /**
   * Reads on, until the bytes or the sink end it; says how many bytes were used.
   * @throws StatusError where the bytes are no messages or more than may be; what the sink throws
   */
  read(chunk: Buffer, sink: Sink): number {
    let at = 0;
    for (;;) {
      while (this.#headBytes < HEAD_BYTES) {
        if (at === chunk.length) return at;
        this.#readHead(chunk[at]!);
        at += 1;
      }
      const end = at + this.#length - this.#filled;
      if (this.#buffer === undefined && end <= chunk.length) {
        this.#headBytes = 0;
        const goOn = sink.take(chunk.subarray(at, end));
        at = end;
        if (!goOn) return at;
        continue;
      }
      if (at === chunk.length) return at;
      this.#fill(chunk.subarray(at, end));
      at = Math.min(end, chunk.length);
      if (this.#filled < this.#length) return at;
      try {
        this.#headBytes = 0;
        if (!sink.take(this.#buffer!.subarray(0, this.#length))) return at;
      } finally {
        this.discard();
      }
    }
  }

  /** Gives back what is held for a message that has not come whole. */
  discard(): void {
    if (this.#buffer === undefined) return;
    this.#holdings.release(this.#buffer.length);
    this.#buffers.give(this.#buffer);
    this.#buffer = undefined;
    this.#filled = 0;
  }

  #readHead(byte: number): void {
    if (this.#headBytes === 0) {
      if (byte !== 0) throw badFlag(byte);
      this.#length = 0;
    } else {
      this.#length = this.#length * 256 + byte;
    }
    this.#headBytes += 1;
    if (this.#headBytes < HEAD_BYTES || this.#length <= MAX_MESSAGE_BYTES) return;
    const problem = `a message has ${this.#length} bytes; the limit is ${MAX_MESSAGE_BYTES}`;
    throw new StatusError(Status.RESOURCE_EXHAUSTED, problem);
  }

  #fill(part: Buffer): void {
    if (this.#buffer === undefined) {
      const buffer = this.#buffers.take(this.#length);
      this.#holdings.hold(buffer.length);
      this.#buffer = buffer;
    }
    this.#buffer.set(part, this.#filled);
    this.#filled += part.length;
  }
}

function badFlag(flag: number): StatusError {
  const problem =
    flag === 1
      ? 'a message is flagged as compressed, and no grpc-encoding says how'
      : `a message begins with ${flag}; only 0 and 1 mean something`;
  return new StatusError(Status.INTERNAL, problem);
}
