/**
 * Writes lines to a descriptor that may refuse them: a full disk, a reader that stalls or is gone, a file at its size
 * limit, a terminal that was hung up. Writing never throws and, except for files, never blocks.
 *
 * Lines that cannot be written wait in memory up to a bound; further ones are dropped and counted. A timer tries again.
 * Once the waiting lines are written, the number of dropped lines is reported in their place.
 */

import { writeSync } from 'node:fs';
import type { Clock, Deadline } from '../base/index.ts';

/** Maximum number of waiting bytes. */
export const BOUND_BYTES = 1_048_576;
/** The first and the longest delay between tries, in milliseconds. A reader that is only slow is ready again soon. */
const RETRY_FIRST_MS = 10;
const RETRY_LIMIT_MS = 1_000;

/** A run of consecutive dropped lines. */
export interface Dropped {
  readonly lines: number;
  /** The error code of writing when the last of them was dropped: `ENOSPC`; EAGAIN: the reader stalls. */
  readonly code: string;
}

export interface LogWriterOptions {
  /** Opens the descriptor, before the first line. The writer does not close it. */
  readonly open: () => number;
  readonly clock: Clock;
  /** Builds the line that reports dropped ones. */
  readonly report: (dropped: Dropped) => string;
  /** Like `fs.writeSync`. */
  readonly writeBytes?: (fd: number, bytes: Uint8Array, offset: number) => number;
}

export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #writeBytes: NonNullable<LogWriterOptions['writeBytes']>;
  #fd: number | undefined;
  /** Whole lines; the first may be partly written. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** The number of written bytes of the first line. */
  #written = 0;
  #dropped = 0;
  #droppedBy = '';
  #droppedInAll = 0;
  /** The error code of the last failed try. */
  #code = '';
  #failures = 0;
  #retry: Deadline | undefined;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#writeBytes = options.writeBytes ?? writeSync;
  }

  /** The number of dropped lines since the start. */
  get dropped(): number {
    return this.#droppedInAll;
  }

  /** Writes a line (ending with a line feed) now or later, or drops it. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#dropped > 0 || this.#waitingBytes + bytes.length > BOUND_BYTES) {
      this.#dropped += 1;
      this.#droppedInAll += 1;
      this.#droppedBy = this.#code;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    // If a retry is pending, the timer writes: a try for each line would cost a failing system call.
    if (this.#retry === undefined) this.#drain();
  }

  /** Waits up to `ms` milliseconds until a stalled reader has read all lines. It does not wait for other errors. */
  async flush(ms: number): Promise<void> {
    const { clock } = this.#options;
    let over = false;
    const end = clock.after(ms, () => {
      over = true;
    });
    this.#drain();
    while (this.#retry !== undefined && this.#code === 'EAGAIN' && !over) {
      await new Promise<void>((resolve) => clock.after(RETRY_FIRST_MS, resolve));
      this.#drain();
    }
    end.cancel();
  }

  #drain(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    try {
      while (this.#waiting.length > 0 || this.#dropped > 0) {
        if (this.#waiting.length === 0) this.#takeReport();
        this.#writeFirst();
      }
    } catch (thrown) {
      this.#failed((thrown as NodeJS.ErrnoException).code ?? String(thrown));
    }
  }

  /** No line follows the report until it is written; lines dropped meanwhile count for the next report. */
  #takeReport(): void {
    const bytes = Buffer.from(this.#options.report({ lines: this.#dropped, code: this.#droppedBy }));
    this.#dropped = 0;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }

  #writeFirst(): void {
    this.#fd ??= this.#options.open();
    const bytes = this.#waiting[0]!;
    // A short write leaves a partial line, whose rest is written next.
    while (this.#written < bytes.length) {
      this.#written += this.#writeBytes(this.#fd, bytes, this.#written);
      this.#failures = 0;
    }
    this.#waiting.shift();
    this.#waitingBytes -= bytes.length;
    this.#written = 0;
  }

  #failed(code: string): void {
    this.#code = code;
    // The next reader of a FIFO may find a partial line: end it, and write the line again as a whole.
    if (code === 'EPIPE' && this.#written > 0) {
      const whole = Buffer.concat([Buffer.from('\n'), this.#waiting[0]!]);
      this.#waiting[0] = whole;
      this.#waitingBytes += 1;
      this.#written = 0;
    }
    const delay = Math.min(RETRY_FIRST_MS * 2 ** Math.min(this.#failures, 10), RETRY_LIMIT_MS);
    this.#failures += 1;
    this.#retry = this.#options.clock.after(delay, () => this.#drain());
  }
}
