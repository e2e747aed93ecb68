/** The YAML file of settings. */

import path from 'node:path';
import type { LineCounter, Node, Pair } from 'yaml';
import { type Problem, readInputFile } from '../base/index.ts';
import { type Given, type Source, suggestion } from './given.ts';
import { quote } from './kinds.ts';
import type { SettingsTable } from './settings.ts';

/** Maximum size of the file, in bytes; one with every setting has a few kB. */
const MAX_BYTES = 64 * 1024;
/** Maximum number of problems that are reported. */
const MAX_PROBLEMS = 100;

const FILE_RULE = 'give a YAML file that this user can read';
const MAP_RULE = 'the file is one map of settings, such as trustDomain: example.org';

/** Reads the file that `where` names. Values are taken as written: `0660` is not a number here. */
export async function fromYamlFile(table: SettingsTable, file: string, where: string): Promise<Source> {
  let text: string;
  try {
    text = (await readInputFile(file, MAX_BYTES)).toString('utf8');
  } catch (thrown) {
    const problem = `${quote(file)} cannot be read: ${(thrown as Error).message}`;
    return { given: new Map(), problems: [{ path: where, problem, rule: FILE_RULE }] };
  }
  return readSettings(table, text, file);
}

async function readSettings({ command, settings }: SettingsTable, text: string, file: string): Promise<Source> {
  // A file can't name another one.
  const keys = Object.keys(settings).filter((key) => key !== 'config');
  // Loaded only here, because most starts have no file.
  const yaml = await import('yaml');
  const lines = new yaml.LineCounter();
  // The parser compares each key with all others; repeated ones are found below.
  const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const problems: Problem[] = document.errors.slice(0, MAX_PROBLEMS).map((error) => ({
    path: `${file}:${lines.linePos(error.pos[0]).line}`,
    problem: error.message,
    rule: MAP_RULE,
  }));
  const given = new Map<string, Given>();
  const { contents } = document;
  if (problems.length > 0 || contents === null) return { given, problems };
  if (!yaml.isMap(contents)) {
    problems.push({ path: `${file}:1`, problem: 'it is not a map', rule: MAP_RULE });
    return { given, problems };
  }
  for (const pair of contents.items as Pair<Node, Node | null>[]) {
    const name = String(pair.key);
    const where = `${file}:${lineOf(pair.key, lines)} ${name}`;
    const key = keys.find((candidate) => camelCase(name) === candidate);
    const before = key === undefined ? undefined : given.get(key);
    if (problems.length === MAX_PROBLEMS) break;
    if (key === undefined)
      problems.push({ path: where, problem: 'no setting has this key', rule: suggestion(command, name, keys) });
    else if (before !== undefined)
      problems.push({ path: where, problem: `it is the same setting as ${before.where}`, rule: 'give one of the two' });
    else given.set(key, { where, texts: textsOf(pair.value, yaml), folder: path.dirname(file) });
  }
  return { given, problems };
}

/**
 * Keys are in camel case; snake case and the names of flags without their dashes are understood: `data_dir`,
 * `data-dir`.
 */
function camelCase(name: string): string {
  return name.replaceAll(/[_-]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function lineOf(node: Node, lines: LineCounter): number {
  return lines.linePos(node.range?.[0] ?? 0).line;
}

/** The scalars of a value as written; undefined if the value is missing or something else. */
function textsOf(value: Node | null, yaml: typeof import('yaml')): string[] | undefined {
  const items = yaml.isSeq(value) ? value.items : [value];
  const texts = items.map((item) => (yaml.isScalar(item) && item.value !== null ? item.source : undefined));
  return texts.every((text) => text !== undefined) ? texts : undefined;
}
