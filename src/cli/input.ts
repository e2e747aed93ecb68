/** Files that commands read. */

import { UsageError } from './errors.ts';

/** The bytes of a file; `-` is stdin. @throws UsageError, which names the flag, when it can't be read */
export async function readInput(flag: string, file: string): Promise<Buffer> {
  if (file !== '-') {
    const { readFile } = await import('node:fs/promises');
    return readFile(file).catch((thrown: Error) => {
      throw new UsageError(`${flag}: ${thrown.message}`);
    });
  }
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
