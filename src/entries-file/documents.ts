/** Reads the documents of a text that is JSON or YAML. */

import { parseUnique, SidekeyError } from '../base/index.ts';
import { JsonLines } from './json-lines.ts';
import { parseWithList } from './json-list.ts';
import { type Lines, lineAt } from './lines.ts';
import type { YamlDocument } from './yaml.ts';

export const FILE_RULE = 'the file is YAML or JSON with a list: entries: […]';
/** A negative selector without quotes reads as a YAML tag. */
const TAG_RULE = 'a text that begins with ! needs quotes: "!docker:label:tier:canary"';
/** Maximum length of a YAML text, in characters: the parser takes about a second for two million. */
export const MAX_YAML = 4 * 1024 * 1024;
/** Length from which a server parses YAML in a thread of its own, in characters: some 30 ms. */
const LONG_YAML = 64 * 1024;

/** One value of a text. */
export interface TextDocument {
  readonly value: unknown;
  /** The line (from 1) of the value at this place, or of the nearest value above it that is there. */
  lineAt(keys: readonly string[]): number;
}

/**
 * The documents of a text: one if it is JSON.
 * @param name the file's name in messages
 * @param apart whether long YAML is parsed in a thread of its own, since the event loop has other work
 * @throws ERR_CONFIG with the line
 */
export async function readDocuments(name: string, text: string, apart: boolean): Promise<TextDocument[]> {
  // The JSON parser takes a tenth of the YAML parser's time.
  const json = await attemptJson(text);
  if (json !== undefined) {
    const lines = new JsonLines(text);
    return [{ value: json.value, lineAt: (keys) => lines.lineAt(keys) }];
  }
  if (text.length > MAX_YAML) {
    const problem = `it is not JSON, or an object in it has a name twice, and it has ${text.length} characters`;
    throw fileFault(name, problem, `a YAML file has at most ${MAX_YAML} characters; JSON may be longer`);
  }
  const { parseYaml, YamlFault } = await import('./yaml.ts');
  let documents: YamlDocument[];
  try {
    const isApart = apart && text.length > LONG_YAML;
    documents = isApart ? await (await import('./yaml-apart.ts')).parseYamlApart(text) : parseYaml(text);
  } catch (thrown) {
    if (thrown instanceof YamlFault)
      throw fileFault(`${name}:${thrown.line}`, thrown.message, /\btag\b/.test(thrown.message) ? TAG_RULE : FILE_RULE);
    throw thrown;
  }
  return documents.map(({ value, lines }) => {
    let known: Lines | undefined;
    return {
      value,
      lineAt: (keys) => {
        known ??= lines();
        return lineAt(known, keys);
      },
    };
  });
}

async function attemptJson(text: string): Promise<{ readonly value: unknown } | undefined> {
  // Only objects: a JSON text of another kind is no file of entries, and YAML's message is as good.
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return { value: await parseWithList(text, 'entries', parseUnique) };
  } catch {
    return undefined;
  }
}

export function fileFault(path: string, problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path, problem, rule }], 'ERR_CONFIG');
}
