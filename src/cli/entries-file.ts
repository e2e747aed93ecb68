/** Reads the file of `entry create --data`; the server checks its entries. */

import { BODY_LIMIT, SidekeyError } from '../base/index.ts';
import { decodeText, EntriesSource } from '../entries-file/index.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';

/** Reads a file of entries; `-` is stdin. @throws UsageError when it can't be read; ERR_CONFIG with lines; ERR_TOO_LARGE */
export async function readEntriesFile(file: string): Promise<EntriesSource> {
  const name = file === '-' ? 'stdin' : file;
  const bytes = await readInput('--data', file);
  const source = await EntriesSource.read([{ name: `--data: ${name}`, text: decodeInput('--data', bytes, name) }]);
  const path = file === '-' ? 'FILE' : file;
  checkSize({ entries: source.entries }, `--data: ${name}`, BODY_LIMIT, `; use sidekey apply -f ${path}`);
  return source;
}

/** @throws UsageError */
export function decodeInput(flag: string, bytes: Buffer, name: string): string {
  try {
    return decodeText(bytes);
  } catch {
    throw new UsageError(`${flag}: ${name} is not UTF-8`);
  }
}

/**
 * The JSON of a request that is applied as a whole, and so can't be split. Checked before it is sent, because a server that
 * refuses a large body may close the connection before its reason is read.
 * @param otherwise the alternative, for the message
 * @throws ERR_TOO_LARGE
 */
export function checkSize(content: object, name: string, limit: number, otherwise = ''): Buffer {
  let text: string;
  try {
    text = JSON.stringify(content);
  } catch (thrown) {
    // Nested too deeply, or longer than any text.
    throw new SidekeyError('ERR_TOO_LARGE', `${name} makes a request that is too large: ${(thrown as Error).message}`);
  }
  const bytes = Buffer.from(text);
  if (bytes.length <= limit) return bytes;
  const message = `${name} makes a request of ${bytes.length} bytes, and the limit is ${limit}${otherwise}`;
  throw new SidekeyError('ERR_TOO_LARGE', message);
}
