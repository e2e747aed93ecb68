/** Reads the file of `entry create --data`; the server checks its entries. */

import { parseDocument } from 'yaml';
import { BODY_LIMIT } from '../admin/client.ts';
import { SidekeyError } from '../base/errors.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';

/** Reads JSON or YAML (JSON is YAML) with entries; `-` is stdin. @throws UsageError when it can't be read; ERR_TOO_LARGE */
export async function readEntriesFile(file: string): Promise<unknown> {
  const name = file === '-' ? 'stdin' : file;
  const bytes = await readInput('--data', file);
  const text = decode(bytes, name);
  const document = parseDocument(text, { prettyErrors: true });
  const fault = document.errors[0];
  if (fault !== undefined) throw new UsageError(`--data: ${name}: ${fault.message.trimEnd()}`);
  const content: unknown = document.toJS();
  if (typeof content !== 'object' || content === null || !Object.hasOwn(content, 'entries')) {
    throw new UsageError(`--data: ${name} has no list of entries; write {"entries":[…]}`);
  }
  checkSize(content, file);
  return content;
}

/**
 * Checked before sending: a server that refuses a large body may close the connection before its reason is read. A request
 * that is applied as a whole can't be split, so the message names the alternative. @throws ERR_TOO_LARGE
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

/** Strict decoding: invalid UTF-8 must not silently become other characters. */
function decode(bytes: Buffer, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`--data: ${name} is not UTF-8`);
  }
}
