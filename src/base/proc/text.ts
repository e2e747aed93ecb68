/**
 * Reads the text of /proc files. A process controls parts of it: its name, its program's path, its cgroups' names.
 *
 * Only `\n` ends a line. JavaScript's regular expressions know further line ends (`\r`, U+2028, U+2029), which the
 * kernel does not escape, so a process could forge lines with them; `npm run check` refuses the `m` flag. All text is
 * latin1: one character per byte.
 */

import fs from 'node:fs';
import { SidekeyError } from '../errors.ts';

const scratch = Buffer.allocUnsafe(32 * 1024);

/** More than the longest file that the kernel makes of one process: `status`, with 65,536 groups, is 720 KB. */
const MAX_BYTES = 1024 * 1024;

/**
 * Reads a file of /proc that the kernel returns whole in one read (`status`, `stat`, `cgroup`, `limits`). It blocks the
 * event loop, since the thread pool is much slower.
 *
 * That is safe for `status`, `cgroup`, `stat`, the id maps, `mountinfo`, and `exe` as a link: the kernel answers from
 * memory, without the lock of the process's address space (which `cmdline`, `environ` and `maps` take) and without the
 * file system of the executable. So a process that hangs, is stopped or was started from a dead mount cannot block the
 * reader.
 * @throws an error of open(2) or read(2); ERR_PROC if it has more than {@link MAX_BYTES}
 */
export function readProcFile(path: string): string {
  // If the buffer is not full, the file has ended.
  return readText(path, MAX_BYTES, scratch.length - 1);
}

/**
 * Reads a file of /proc that the kernel returns in several reads of at most a page: the id maps, `mountinfo`.
 * @throws an error of open(2) or read(2); ERR_PROC if it has more than `maxBytes`
 */
export function readProcRecords(path: string, maxBytes: number = MAX_BYTES): string {
  return readText(path, maxBytes, 0);
}

/** Reads until a read returns at most `last` bytes. */
function readText(path: string, maxBytes: number, last: number): string {
  const fd = fs.openSync(path, 'r');
  try {
    let text = '';
    for (;;) {
      const length = fs.readSync(fd, scratch, 0, scratch.length, null);
      if (text.length + length > maxBytes) throw otherForm(`${path} has more than ${maxBytes} bytes`);
      text += scratch.toString('latin1', 0, length);
      if (length <= last) return text;
    }
  } finally {
    fs.closeSync(fd);
  }
}

/** The lines of a text, each of which must end with `\n`. @throws ERR_PROC if text follows the last `\n` */
export function linesOf(text: string, file: string): string[] {
  const lines = text.split('\n');
  if (lines.pop() !== '') throw otherForm(`${file} ends within a line`);
  return lines;
}

/** A decimal number of at most 32 bits and nothing else. @throws ERR_PROC otherwise */
export function parseId(text: string | undefined, problem: string): number {
  const value = text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 0xffff_ffff)) throw otherForm(problem);
  return value;
}

/** An error for text that does not have the kernel's known form; nothing in such a file is used. */
export function otherForm(problem: string): SidekeyError {
  return new SidekeyError('ERR_PROC', problem);
}

/** The result of reading /proc; undefined if the process does not exist or may not be examined. */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
