/**
 * Looks up which program a process runs, before a key is sent to it. There is at most one lookup per process and turn
 * of the event loop, for all its connections and keys, because a lookup costs more than the rest of the work for a key.
 */

import { currentTurn, readable } from '../base/index.ts';
import type { FileIdentity } from './libc.ts';
import { readExecutableIdentity } from './proc/exe.ts';

interface ProgramLook {
  /** Undefined if it can't be read. */
  readonly program: FileIdentity | undefined;
  readonly number: number;
}

/** The number of the last look. */
let count = 0;
let turn = 0;
/** The last look of this turn at each pid. */
const looks = new Map<number, ProgramLook>();

/** The number of the last look at any process. */
export function lastLook(): number {
  return count;
}

/**
 * The program that the process runs, as seen in this turn by a look with a number above `after`; undefined if it can't
 * be read. The caller must have opened the pidfd of the process before look `after`, and must check afterwards that the
 * process is alive. Otherwise the pid may have belonged to another process.
 */
export function lookAtProgram(pid: number, after: number): FileIdentity | undefined {
  if (turn !== currentTurn()) {
    turn = currentTurn();
    looks.clear();
  }
  const last = looks.get(pid);
  if (last !== undefined && last.number > after) return last.program;
  const program = readable(() => readExecutableIdentity(pid));
  count += 1;
  looks.set(pid, { program, number: count });
  return program;
}
