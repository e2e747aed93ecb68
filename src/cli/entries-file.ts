/** Reads the file of `entry create --data`; the server checks its entries. */

import { BODY_LIMIT, SidekeyError } from '../base/index.ts';
import { decodeText, EntriesSource } from '../entries-file/index.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';

/** Reads a file of entries; `-` is stdin. @throws UsageError when it can't be read; ERR_CONFIG with lines; ERR_TOO_LARGE */
export async function readEntriesFile(file: string): Promise<EntriesSource> {
  const name = file === '-' ? 'stdin' : file;
  const bytes = await readInput('--data', file);
  const source = new EntriesSource(`--data: ${name}`, decode(bytes, name));
  checkSize({ entries: source.entries }, file);
  return source;
}

/**
 * Checks before sending, because a server that refuses a large body may close the connection before its reason is read.
 * A request that is applied as a whole can't be split, so the message names the alternative.
 * @throws ERR_TOO_LARGE
 */
function checkSize(content: object, file: string): void {
  const size = Buffer.byteLength(JSON.stringify(content));
  if (size <= BODY_LIMIT) return;
  const [name, path] = file === '-' ? ['stdin', 'FILE'] : [file, file];
  throw new SidekeyError(
    'ERR_TOO_LARGE',
    `--data: ${name} makes a request of ${size} bytes, and the limit is ${BODY_LIMIT}; ` +
      `to apply so many entries together, use \`sidekey serve --entries ${path}\``,
  );
}

function decode(bytes: Buffer, name: string): string {
  try {
    return decodeText(bytes);
  } catch {
    throw new UsageError(`--data: ${name} is not UTF-8`);
  }
}
