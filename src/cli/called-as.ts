/** The name by which the user called this program, for printed commands that the user may copy. */

import { accessSync, constants, realpathSync } from 'node:fs';
import path from 'node:path';
import { shellQuote } from '../base/index.ts';

/** bin/sidekey sets this variable to the name by which it was called. The variables of settings never begin with `_`. */
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
    // A shell runs the first match in PATH.
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

/** The names of the commands. Where one follows `sidekey` in a message, that word means this program. */
export const COMMAND_NAMES = [
  'serve',
  'entry',
  'apply',
  'alias',
  'bundle',
  'federation',
  'ca',
  'revoke',
  'revocations',
  'audit',
  'token',
  'agent',
  'jwks',
  'proxies',
  'page',
  'explain',
  'fetch',
  'helper',
  'validate',
  'api',
  'healthcheck',
  'envoy',
  'doctor',
  'backup',
  'restore',
  'migrate',
  'log-level',
  'completion',
] as const;

/** Matches `sidekey` before a command's name, but not in a path, a value, or a longer word. */
const IN_WORDS = new RegExp(`(?<![\\w./@:=-])sidekey(?= (?:${COMMAND_NAMES.join('|')})\\b)`, 'g');

/** Writes each command of a message that begins with `sidekey` as the user can type it. */
export function wordsAsCalled(text: string): string {
  const name = calledAs();
  return name === 'sidekey' ? text : text.replaceAll(IN_WORDS, () => name);
}
