/**
 * Looks at what processes run, before keys leave: one of a process in a turn of the event loop, however many connections it
 * has and keys it gets. To look costs more than all the rest of what is done for a key.
 */

import { readable } from '../base/proc/text.ts';
import { currentTurn } from '../base/turn.ts';
import type { FileIdentity } from './libc.ts';
import { readExecutableIdentity } from './proc/exe.ts';

interface Look {
  /** Undefined where /proc does not say. */
  readonly program: FileIdentity | undefined;
  readonly number: number;
}

let count = 0;
let turn = 0;
/** Of this turn, the last of each pid. */
const looks = new Map<number, Look>();

/** How many looks there were so far. */
export function looksSoFar(): number {
  return count;
}

/**
 * What the process runs, as of this turn and of a look after the first `before`. It is for the caller to know that the pid
 * was the process's own at each look after these: that it had the process's pidfd before, and finds it alive afterwards.
 */
export function lookAtProgram(pid: number, before: number): FileIdentity | undefined {
  if (turn !== currentTurn()) {
    turn = currentTurn();
    looks.clear();
  }
  const last = looks.get(pid);
  if (last !== undefined && last.number > before) return last.program;
  const program = readable(() => readExecutableIdentity(pid));
  count += 1;
  looks.set(pid, { program, number: count });
  return program;
}
