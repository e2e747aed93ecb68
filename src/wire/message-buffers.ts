/**
 * Where the messages that come in parts are put together, which a real Envoy's of 61 KB all do. What Node gives out is
 * a piece of all that was read from the socket at once, and would keep the whole of it.
 */

/** Room for a real Envoy's message. */
export const SPARE_BYTES = 64 * 1024;
/** So many buffers wait for the next message; as a rule few are in use at a time. */
const MOST_SPARE = 64;

export class MessageBuffers {
  readonly #spare: Buffer[] = [];

  /** At least `size` bytes, of whatever content. */
  take(size: number): Buffer {
    if (size > SPARE_BYTES) return Buffer.allocUnsafeSlow(size);
    // A small one costs less to make than a large one to keep busy for it.
    if (size < SPARE_BYTES / 16) return Buffer.allocUnsafeSlow(size);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(SPARE_BYTES);
  }

  /** What was taken is not used any more. */
  give(buffer: Buffer): void {
    if (buffer.length === SPARE_BYTES && this.#spare.length < MOST_SPARE) this.#spare.push(buffer);
  }
}
