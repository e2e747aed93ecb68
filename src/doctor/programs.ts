/**
 * Finds entries for programs that are not on this machine: a mistyped path is accepted, and no caller matches it. The
 * commands check it and the server does not, because a path may be on a file system that does not answer.
 */

import { readFileSync, statSync } from 'node:fs';
import type { Finding, Problem } from '../base/index.ts';

/** The parts of an entry that say which program it is for. */
export interface ProgramEntry {
  readonly id: string;
  readonly spiffe_id: string;
  readonly selectors: readonly { readonly type: string; readonly value: string; readonly negated?: true }[];
  readonly allow_contained: boolean;
}

/** Maximum number of entries that are reported. */
const REPORTED = 5;
/** Maximum number of files that are looked for, because a file system may be slow. */
const MOST_LOOKS = 10_000;
const PATH = 'path:';
/** The types of selectors that a process outside of containers can have. */
const OF_HOST: ReadonlySet<string> = new Set(['unix', 'systemd']);

/** Warnings for entries that were just written. */
export function warnOfPrograms(entries: readonly ProgramEntry[], root = rootType()): Problem[] {
  return missing(entries, root).map(({ entry, file }) => ({
    path: '',
    problem: `no caller has unix:path:${file} of entry ${entry.id}: this machine has no such file`,
    rule: 'the entry is kept, and callers match it when they run a program with this path',
  }));
}

/** The findings for all entries of a server on this machine. */
export function judgePrograms(entries: readonly ProgramEntry[], root = rootType()): Finding[] {
  return missing(entries, root).map(({ entry, file }) => ({
    rule: 'entry-program',
    severity: 'info',
    place: `entry ${entry.id}`,
    problem: `the entry of ${entry.spiffe_id} is for the program ${file}, and this machine has no such file`,
    why: 'a caller must have all selectors of an entry, and only a process that runs this file has this one',
    fix: `install the program there, or correct the path (sidekey entry update ${entry.id} --selector …, or where the entry is declared); sidekey explain --pid PID shows the path of a process`,
  }));
}

function missing(entries: readonly ProgramEntry[], root: string | undefined) {
  const found: { readonly entry: ProgramEntry; readonly file: string }[] = [];
  // In a container, callers are in other containers or on the host, and have other files.
  if (root === undefined || root === 'overlay') return found;
  const known = new Map<string, boolean>();
  for (const entry of entries) {
    const file = programOf(entry);
    if (file === undefined) continue;
    if (!known.has(file)) {
      if (known.size === MOST_LOOKS) break;
      known.set(file, isMissing(file));
    }
    if (known.get(file) === true && found.push({ entry, file }) === REPORTED) break;
  }
  return found;
}

/** The file that a caller must run; undefined if the entry names none, or its callers may be in containers. */
function programOf({ selectors, allow_contained: allowContained }: ProgramEntry): string | undefined {
  if (allowContained || selectors.some(({ type, negated }) => negated !== true && !OF_HOST.has(type))) return undefined;
  const selector = selectors.find(
    ({ type, value, negated }) => type === 'unix' && negated !== true && value.startsWith(PATH),
  );
  return selector?.value.slice(PATH.length);
}

/** False if that is not known, for example because a directory is closed to this user. */
function isMissing(file: string): boolean {
  try {
    statSync(file);
    return false;
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENOTDIR';
  }
}

/** The type of the file system at `/`, such as `ext4`; undefined if it can't be read. @see proc_mounts(5) */
function rootType(): string | undefined {
  try {
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    return mounts.map((line) => line.split(' ')).findLast(([, place]) => place === '/')?.[2];
  } catch {
    return undefined;
  }
}
