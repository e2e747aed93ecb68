/** Files that commands read. */

import { createReadStream } from 'node:fs';
import { UsageError } from './errors.ts';

/** Maximum size of an input, in bytes: the server accepts bodies of 1 MiB, and a device file may never end. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * The bytes of a file; `-` is stdin. @throws UsageError, which names the flag, when it can't be read or is too large
 */
export async function readInput(flag: string, file: string): Promise<Buffer> {
  const input = file === '-' ? process.stdin : createReadStream(file);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_BYTES) throw new Error(`${file === '-' ? 'stdin' : file} has more than ${MAX_BYTES} bytes`);
      chunks.push(chunk);
    }
  } catch (thrown) {
    throw new UsageError(`${flag}: ${(thrown as Error).message}`);
  }
  return Buffer.concat(chunks);
}
