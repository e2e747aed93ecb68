/**
 * Writes lines to a descriptor that may refuse them: a full disk, a reader that stalls or is gone, a file at its size
 * limit, a terminal that was hung up. Writing never throws and, but for files, never waits.
 *
 * Lines that can't be written wait in memory, up to a bound; further ones are dropped and counted. A timer tries again.
 * Once the waiting lines are written, the number of dropped ones is reported where they would have stood.
 */

import { writeSync } from 'node:fs';
import type { Clock, Deadline } from '../base/clock.ts';

/** How many bytes may wait. */
export const BOUND_BYTES = 1_048_576;
/** Between tries, in milliseconds: the first, and the longest. A reader that is only slow is soon ready again. */
const RETRY_FIRST_MS = 10;
const RETRY_LIMIT_MS = 1_000;

/** Lines that were dropped one after the other. */
export interface Dropped {
  readonly lines: number;
  /** The error's name by which writing failed when the last of them was dropped: `ENOSPC`; EAGAIN: the reader stalls. */
  readonly code: string;
}

export interface LogWriterOptions {
  /** Where to write, asked for before the first line. Not closed here. */
  readonly open: () => number;
  readonly clock: Clock;
  /** Makes the line that reports dropped ones. */
  readonly report: (dropped: Dropped) => string;
  /** As `fs.writeSync`. */
  readonly writeBytes?: (fd: number, bytes: Uint8Array, offset: number) => number;
}

export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #writeBytes: NonNullable<LogWriterOptions['writeBytes']>;
  #fd: number | undefined;
  /** Whole lines, the first of them perhaps written in part. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** How much of the first is written. */
  #written = 0;
  #dropped = 0;
  #droppedBy = '';
  /** Why the last try failed. */
  #code = '';
  #failures = 0;
  #retry: Deadline | undefined;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#writeBytes = options.writeBytes ?? writeSync;
  }

  /** Writes a line, which ends with a line feed, now or later; or drops it. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#dropped > 0 || this.#waitingBytes + bytes.length > BOUND_BYTES) {
      this.#dropped += 1;
      this.#droppedBy = this.#code;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    // Else the timer writes, in order: to try at each line would cost the callers a failing system call each time.
    if (this.#retry === undefined) this.#drain();
  }

  /** Waits, `ms` at most, until a reader that stalls has read all lines. Other errors are not waited for. */
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

  /** Until the report is written, no line follows it: lines dropped meanwhile are counted by the next report. */
  #takeReport(): void {
    const bytes = Buffer.from(this.#options.report({ lines: this.#dropped, code: this.#droppedBy }));
    this.#dropped = 0;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }

  #writeFirst(): void {
    this.#fd ??= this.#options.open();
    const bytes = this.#waiting[0]!;
    // A short write leaves half a line: the rest of it comes next.
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
    // The next reader of a FIFO may find half a line there: it is ended, and written again as a whole.
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
