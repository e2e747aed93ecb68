/** The descriptor that the log is written to: stdout, whatever it is. */

import { closeSync, constants, fstatSync, openSync, readSync, type Stats, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

const STDOUT = 1;
const AGAIN = '/proc/self/fd/1';
const LINE_FEED = 0x0a;

/**
 * A descriptor for stdout that never makes the process wait for a reader: a FIFO's, a socket's, a terminal's. A file's
 * does wait for its file system, so that no line is lost when the process ends; on a network file system that hangs, so
 * does the process (docs/operations.md). @throws only if stdout can't be looked at
 */
export function openStdout(): number {
  const stdout = fstatSync(STDOUT);
  if (stdout.isFIFO() || isatty(STDOUT)) return openAgain() ?? withoutWaiting();
  if (stdout.isSocket()) return withoutWaiting();
  if (stdout.isFile()) endHalfLine(stdout);
  return STDOUT;
}

/**
 * Opened again, stdout gets flags of its own. Those of descriptor 1 are shared with other processes, and each program of
 * Node's that ends sets them back. Undefined where this user may not open it: a FIFO that another user has made.
 */
function openAgain(): number | undefined {
  try {
    return openSync(AGAIN, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}

/** Node makes a socket or FIFO non-blocking when it makes the stream. */
function withoutWaiting(): number {
  void process.stdout;
  return STDOUT;
}

/** A process before this one may have ended, or been out of space, within a line. */
function endHalfLine({ size }: Stats): void {
  if (size === 0) return;
  try {
    const fd = openSync(AGAIN, 'r');
    try {
      const last = Buffer.alloc(1);
      if (readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== LINE_FEED) writeSync(STDOUT, '\n');
    } finally {
      closeSync(fd);
    }
  } catch {
    // It may be written to and not read, or it is full.
  }
}
