/** The command as its user called it, for commands that are printed to be copied. */

import { accessSync, constants, realpathSync } from 'node:fs';
import path from 'node:path';
import { shellQuote } from '../base/index.ts';

/** bin/sidekey sets it to the name that it was called by. No variable of a setting begins like that. */
const VARIABLE = '_SIDEKEY_CALLED_AS';

let known: string | undefined;

/** `sidekey` if a shell finds this program by that name, else the path that was typed, as in a clone. */
function calledAs(env: Readonly<Record<string, string | undefined>> = process.env): string {
  known ??= find(env);
  return known;
}

function find({ [VARIABLE]: called, PATH }: Readonly<Record<string, string | undefined>>): string {
  if (!called) return 'sidekey';
  return isInPath(called, PATH ?? '') ? 'sidekey' : shellQuote(called);
}

function isInPath(called: string, places: string): boolean {
  for (const folder of places.split(':')) {
    const file = path.join(folder || '.', 'sidekey');
    try {
      accessSync(file, constants.X_OK);
    } catch {
      continue;
    }
    // A shell takes the first.
    return realpathOf(file) === realpathOf(called);
  }
  return false;
}

function realpathOf(file: string): string | undefined {
  try {
    return realpathSync(file);
  } catch {
    return undefined;
  }
}

/** A command that begins with `sidekey`, as the user can type it; other commands stay as they are. */
export function asCalled(command: string): string {
  const name = calledAs();
  return name === 'sidekey' ? command : command.replaceAll(/(?<=^|[|;&] ?|sudo )sidekey(?= )/g, () => name);
}

/** The commands: in a message, `sidekey` before one of them means this program. */
export const COMMAND_NAMES = [
  'serve',
  'entry',
  'alias',
  'bundle',
  'ca',
  'proxies',
  'explain',
  'fetch',
  'healthcheck',
  'envoy',
  'doctor',
  'completion',
] as const;

/** Does not match in a path, a value, or a longer word. */
const IN_WORDS = new RegExp(`(?<![\\w./@:=-])sidekey(?= (?:${COMMAND_NAMES.join('|')})\\b)`, 'g');

/** Writes each command of a message that begins with `sidekey` as the user can type it. */
export function wordsAsCalled(text: string): string {
  const name = calledAs();
  return name === 'sidekey' ? text : text.replaceAll(IN_WORDS, () => name);
}
