/**
 * Buffers in which messages are assembled that arrive in several chunks. Keeping Node's chunks would be expensive,
 * because each is a slice of a larger read and keeps all of it alive.
 */

/** Fits a typical Envoy's message. */
export const SPARE_BYTES = 64 * 1024;
/** Maximum number of idle buffers kept. Usually few are in use at a time. */
const MOST_SPARE = 64;

export class MessageBuffers {
  readonly #spare: Buffer[] = [];

  /** A buffer of at least `size` bytes with arbitrary content. */
  take(size: number): Buffer {
    if (size > SPARE_BYTES) return Buffer.allocUnsafeSlow(size);
    // For a small message, allocating costs less than blocking a large buffer.
    if (size < SPARE_BYTES / 16) return Buffer.allocUnsafeSlow(size);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(SPARE_BYTES);
  }

  /** Returns a buffer that is no longer used. */
  give(buffer: Buffer): void {
    if (buffer.length === SPARE_BYTES && this.#spare.length < MOST_SPARE) this.#spare.push(buffer);
  }
}
