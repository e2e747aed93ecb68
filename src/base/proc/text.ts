/**
 * The text of /proc files. A process chooses parts of it: its name, its program's path, its cgroups' names.
 *
 * A line ends at `\n` and nowhere else. JavaScript's regular expressions know more line ends (`\r`, U+2028, U+2029), which
 * the kernel does not escape, so that a process could write lines of its own; `npm run check` refuses their `m` flag. All
 * text is latin1: one character a byte.
 */

import fs from 'node:fs';
import { SidekeyError } from '../errors.ts';

const scratch = Buffer.allocUnsafe(32 * 1024);

/**
 * Reads a file of /proc that the kernel makes whole at the first read (`status`, `stat`, `cgroup`, `limits`), on the event loop: a turn of the thread pool would take ten times as long.
 *
 * That is safe for `status`, `cgroup`, `stat` and the id maps, and for `exe` as a link: the kernel answers from memory,
 * without the lock of the process's address space (which `cmdline`, `environ` and `maps` take) and without asking the
 * executable's file system: a process that hangs, is stopped or was started from a dead mount can't make its reader wait.
 */
export function readProcFile(path: string): string {
  const fd = fs.openSync(path, 'r');
  try {
    const length = fs.readSync(fd, scratch, 0, scratch.length, 0);
    // What leaves room is all there is.
    if (length < scratch.length) return scratch.toString('latin1', 0, length);
  } finally {
    fs.closeSync(fd);
  }
  // As long as that is the status of a process in thousands of groups.
  return fs.readFileSync(path, 'latin1');
}

/** Reads a file of /proc that the kernel makes record by record, a page at most at a read: the id maps, `mountinfo`. */
export function readProcRecords(path: string): string {
  const fd = fs.openSync(path, 'r');
  try {
    let text = '';
    for (;;) {
      const length = fs.readSync(fd, scratch, 0, scratch.length, null);
      if (length === 0) return text;
      text += scratch.toString('latin1', 0, length);
    }
  } finally {
    fs.closeSync(fd);
  }
}

/** The lines of a text; each ends with `\n`, the last one too. @throws ERR_PROC where something follows the last `\n` */
export function linesOf(text: string, file: string): string[] {
  const lines = text.split('\n');
  if (lines.pop() !== '') throw otherForm(`${file} ends within a line`);
  return lines;
}

/** A decimal number of at most 32 bits, and nothing else. @throws ERR_PROC where it is not */
export function parseId(text: string | undefined, problem: string): number {
  const value = text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 0xffff_ffff)) throw otherForm(problem);
  return value;
}

/** The file is not as the kernel is known to write it: then nothing in it is believed. */
export function otherForm(problem: string): SidekeyError {
  return new SidekeyError('ERR_PROC', problem);
}

/** What /proc says; undefined where the process is not there or may not be looked at. */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
