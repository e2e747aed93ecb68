/**
 * Splits one call's byte stream into messages, each framed as flag, length and bytes. Chunk boundaries may be anywhere.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md "Length-Prefixed-Message"
 */

import type { MessageBuffers } from './message-buffers.ts';
import { Status, StatusError } from './types.ts';

/** Many times the size of an Envoy's DiscoveryRequest with its node. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;
/** Flag and length. */
export const HEAD_BYTES = 5;

/** The memory account that unfinished messages are charged to. */
export interface Holdings {
  /** @throws LimitError if the account would exceed its limit */
  hold(bytes: number): void;
  release(bytes: number): void;
}

/** The receiver of the messages. */
export interface Sink {
  /** Called with each message; the bytes are valid only until it returns. Returns false to stop reading for now. */
  take(message: Buffer): boolean;
}

export class MessageReader {
  readonly #buffers: MessageBuffers;
  readonly #holdings: Holdings;
  readonly #maxBytes: number;
  /** The number of head bytes read so far, and the length as far as it is read. */
  #headBytes = 0;
  #length = 0;
  /** The buffer of a message that arrives in several chunks, and the number of bytes in it. */
  #buffer: Buffer | undefined;
  #filled = 0;

  constructor(buffers: MessageBuffers, holdings: Holdings, maxBytes: number = MAX_MESSAGE_BYTES) {
    this.#buffers = buffers;
    this.#holdings = holdings;
    this.#maxBytes = maxBytes;
  }

  /** True within a message. */
  get unfinished(): boolean {
    return this.#headBytes > 0;
  }

  /**
   * Reads messages until the chunk ends or the sink stops; returns the number of bytes used.
   * @throws StatusError if the bytes are not gRPC messages or a message is too large; errors of the sink
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

  /** Releases the memory of an unfinished message. */
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
    if (this.#headBytes < HEAD_BYTES || this.#length <= this.#maxBytes) return;
    const problem = `message has ${this.#length} bytes; the limit is ${this.#maxBytes}`;
    throw new StatusError(Status.RESOURCE_EXHAUSTED, problem, { limit: 'messageBytes' });
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
      ? 'message is flagged as compressed, but compression is not supported'
      : `message begins with flag ${flag}; only 0 (uncompressed) is accepted`;
  return new StatusError(Status.INTERNAL, problem);
}
