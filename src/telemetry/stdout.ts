/** Opens the descriptor to which the log is written: stdout. */

import { closeSync, constants, fstatSync, openSync, readSync, type Stats, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

const STDOUT = 1;
const AGAIN = '/proc/self/fd/1';
const LINE_FEED = 0x0a;

/**
 * A descriptor for stdout that never blocks on a reader, if stdout is a FIFO, socket or terminal. Writing to a file
 * blocks, so that no line is lost when the process ends; it hangs with its network file system (docs/operations.md).
 * @throws only if fstat fails
 */
export function openStdout(): number {
  const stdout = fstatSync(STDOUT);
  if (stdout.isFIFO() || isatty(STDOUT)) return openAgain() ?? withoutWaiting();
  if (stdout.isSocket()) return withoutWaiting();
  if (stdout.isFile()) endHalfLine(stdout);
  return STDOUT;
}

/**
 * Opens stdout again to get separate flags: those of descriptor 1 are shared with other processes, and each Node
 * process resets them when it ends. Undefined if this user may not open it, as a FIFO of another user.
 */
function openAgain(): number | undefined {
  try {
    return openSync(AGAIN, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}

/** Node sets a socket or FIFO to non-blocking when it creates the stream. */
function withoutWaiting(): number {
  void process.stdout;
  return STDOUT;
}

/** An earlier process may have ended, or run out of space, within a line. */
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
    // The file may be write-only or full.
  }
}
