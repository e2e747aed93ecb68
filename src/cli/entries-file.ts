/** The file of `entry create --data`, as it goes to the server, which knows the rules. */

import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { UsageError } from './errors.ts';

/** Reads JSON or YAML (JSON is YAML) with entries; `-` is stdin. @throws UsageError when it can't be read */
export async function readEntriesFile(file: string): Promise<unknown> {
  const name = file === '-' ? 'stdin' : file;
  const text = await readText(file).catch((thrown: Error) => {
    throw new UsageError(`--data: ${thrown.message}`);
  });
  const document = parseDocument(text, { prettyErrors: true });
  const fault = document.errors[0];
  if (fault !== undefined) throw new UsageError(`--data: ${name}: ${fault.message.trimEnd()}`);
  const content: unknown = document.toJS();
  if (typeof content !== 'object' || content === null || !Object.hasOwn(content, 'entries')) {
    throw new UsageError(`--data: ${name} has no list of entries: {"entries":[…]}`);
  }
  return content;
}

async function readText(file: string): Promise<string> {
  if (file !== '-') return readFile(file, 'utf8');
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
