/**
 * Reads files that users name, with limits of type, size and time: a FIFO in the place of a file would keep its reader
 * waiting for ever, and a device has no end.
 */

import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { walkPath } from './trusted-path.ts';
import { observer } from './user-ids.ts';

/** Without O_NONBLOCK, opening a FIFO waits for a writer. Node adds O_CLOEXEC. @see open(2) */
export const OPEN_INPUT = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** How long the writer of a pipe (`<(command)`) may take, in milliseconds. */
const PIPE_MS = 30_000;
/** Interval of reads of an empty pipe, in milliseconds. Polling blocks no thread that the exit would wait for. */
const PIPE_POLL_MS = 20;

/**
 * The bytes of a regular file, or of a pipe that is a descriptor of this process (`/dev/stdin`, `<(command)`).
 * @param check called with the status of the open file, before it is read; its error is thrown
 * @throws Error of open(2) or read(2), or with a message for the user if it is something else, larger, or takes too
 * long
 */
export async function readInputFile(
  file: string,
  maxBytes: number,
  check?: (stats: Stats) => Promise<void>,
): Promise<Buffer> {
  const handle = await open(file, OPEN_INPUT);
  try {
    const stats = await handle.stat();
    await check?.(stats);
    if (!isPipeOfOurs(file, stats)) checkStats(stats, maxBytes);
    return await readHandle(handle, maxBytes);
  } finally {
    await handle.close();
  }
}

/** The same, synchronously and for regular files only: for small files on a local disk. */
export function readRegularFile(file: string, maxBytes: number): Buffer {
  const fd = openSync(file, OPEN_INPUT);
  try {
    return readRegular(fd, maxBytes);
  } finally {
    closeSync(fd);
  }
}

/** The bytes of an open file. @throws Error if it is not regular, or larger */
export function readRegular(fd: number, maxBytes: number): Buffer {
  checkStats(fstatSync(fd), maxBytes);
  const chunks = new Chunks(maxBytes);
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const length = readSync(fd, chunk, 0, chunk.length, null);
    if (length === 0) return chunks.all();
    chunks.push(chunk.subarray(0, length));
  }
}

/** @throws Error with the type or the size and the rule */
function checkStats(stats: Stats, maxBytes: number): void {
  if (!stats.isFile()) throw new Error(`it is ${typeOf(stats)}, not a regular file`);
  if (stats.size > maxBytes) throw tooLarge(maxBytes, `${stats.size} bytes`);
}

/** On the thread pool: the file may be on a network. */
async function readHandle(handle: FileHandle, maxBytes: number): Promise<Buffer> {
  const late = performance.now() + PIPE_MS;
  const chunks = new Chunks(maxBytes);
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const length = await readOnce(handle, chunk);
    if (length === 0) return chunks.all();
    if (length !== undefined) {
      chunks.push(chunk.subarray(0, length));
      continue;
    }
    if (performance.now() > late) throw new Error(`its writer did not close it within ${PIPE_MS / 1_000} s`);
    await sleep(PIPE_POLL_MS);
  }
}

/** The number of bytes; undefined if it is a pipe, and its writer has not written more yet. */
async function readOnce(handle: FileHandle, chunk: Buffer): Promise<number | undefined> {
  try {
    return (await handle.read(chunk, 0, chunk.length, null)).bytesRead;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

/** Chunks of a file, which may have grown since its size was read. */
class Chunks {
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @throws Error if there are too many bytes */
  push(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > this.#maxBytes) throw tooLarge(this.#maxBytes);
    this.#chunks.push(chunk);
  }

  all(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

const CHUNK_BYTES = 64 * 1024;

function isPipeOfOurs(file: string, stats: Stats): boolean {
  return stats.isFIFO() && walkPath(path.resolve(file), observer()).isDescriptor;
}

function tooLarge(maxBytes: number, size = 'more'): Error {
  return new Error(`it has ${size}; at most ${maxBytes} bytes are read`);
}

function typeOf(stats: Stats): string {
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isDirectory()) return 'a directory';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}
