/**
 * Finds entries for programs that are not on this machine: a mistyped path is accepted, and no caller matches it. A path
 * may be on a file system that does not answer, so the looks are asynchronous and have a time limit.
 */

import { readFile, stat } from 'node:fs/promises';
import { setTimeout as after } from 'node:timers/promises';
import type { Selector } from '../spiffe/index.ts';

/** The parts of an entry that say which program it is for. */
export interface ProgramEntry {
  readonly selectors: readonly Pick<Selector, 'type' | 'value' | 'negated'>[];
  readonly allowContained: boolean;
}

/** An entry, by its index in the list, and the file that is not there. */
export interface MissingProgram {
  readonly index: number;
  readonly file: string;
}

/** Maximum number of entries that are returned. */
const REPORTED = 5;
/** Maximum number of files that are looked for. */
const MOST_LOOKS = 1_000;
/** Maximum time of all looks, in milliseconds. */
const LIMIT_MS = 1_000;
const PATH = 'path:';
/** The types of selectors that a process outside of containers can have. */
const OF_HOST: ReadonlySet<string> = new Set(['unix', 'systemd']);

/** A look that has not returned; while there is one, no other begins, so that looks don't fill the thread pool. */
let hanging: Promise<unknown> | undefined;

/** The first of these entries whose programs are missing. Empty if that can't be known here. */
export async function missingPrograms(entries: readonly ProgramEntry[]): Promise<MissingProgram[]> {
  const wanted = entries.flatMap((entry, index) => {
    const file = programOf(entry);
    return file === undefined ? [] : [{ index, file }];
  });
  const files = [...new Set(wanted.map(({ file }) => file))].slice(0, MOST_LOOKS);
  if (files.length === 0 || hanging !== undefined || (await isInContainer())) return [];
  const missing = new Set<string>();
  const looks = lookFor(files, missing);
  const limit = new AbortController();
  hanging = looks.finally(() => {
    hanging = undefined;
    limit.abort();
  });
  await Promise.race([
    hanging,
    after(LIMIT_MS, undefined, { signal: limit.signal, ref: false }).catch(() => undefined),
  ]);
  return wanted.filter(({ file }) => missing.has(file)).slice(0, REPORTED);
}

async function lookFor(files: readonly string[], missing: Set<string>): Promise<void> {
  for (const file of files) {
    if (await isMissing(file)) missing.add(file);
    if (missing.size === REPORTED) return;
  }
}

/** The file that a caller must run; undefined if the entry names none, or its callers may be in containers. */
function programOf({ selectors, allowContained }: ProgramEntry): string | undefined {
  if (allowContained || selectors.some(({ type, negated }) => negated !== true && !OF_HOST.has(type))) return undefined;
  const selector = selectors.find(
    ({ type, value, negated }) => type === 'unix' && negated !== true && value.startsWith(PATH),
  );
  return selector?.value.slice(PATH.length);
}

/** False if that is not known, for example because a directory is closed to this user. */
async function isMissing(file: string): Promise<boolean> {
  try {
    await stat(file);
    return false;
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENOTDIR';
  }
}

/** In a container, callers are in other containers or on the host, and have other files. @see proc_mounts(5) */
async function isInContainer(): Promise<boolean> {
  try {
    const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
    return mounts.findLast(([, place]) => place === '/')?.[2] === 'overlay';
  } catch {
    return true;
  }
}
