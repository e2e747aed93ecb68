/** Keeps other processes from reading this one's memory, which holds every key. */

import koffi from 'koffi';
import { SidekeyError } from './errors.ts';

const libc = koffi.load(null);
const prctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
const setrlimit = libc.func('int setrlimit(int resource, const uint8_t *limit)');

const PR_SET_DUMPABLE = 4;
const RLIMIT_CORE = 4;
/** A `struct rlimit` of two zeros: the soft and the hard limit. */
const ZERO = Buffer.alloc(16);

/**
 * To call before keys are read. From then on no core file is written, not by a program of `core_pattern` either, and only
 * who has CAP_SYS_PTRACE can attach to the process or read its memory: not other processes of its user. Files of
 * `/proc/PID` that only a process's user may read become root's. SIGUSR1 does nothing.
 * @see prctl(2), PR_SET_DUMPABLE; core(5)
 * @throws ERR_CONFIG where Node's inspector is open, and where the kernel refuses
 */
export function hardenProcess(): void {
  // bin/sidekey has Node leave it alone already; where it is not used, this takes the place of Node's own handler.
  process.on('SIGUSR1', () => undefined);
  if (isInspected(process.execArgv, process.env.NODE_OPTIONS)) {
    throw refusal("Node's inspector is open (--inspect), which shows all keys", 'start the server without it');
  }
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) {
    throw refusal(`prctl(PR_SET_DUMPABLE) failed: errno ${koffi.errno()}`, 'the system call filter must allow prctl');
  }
  // A second fence, for which the first is enough: some system call filters refuse it.
  setrlimit(RLIMIT_CORE, ZERO);
}

/** By flags alone: to ask node:inspector itself takes milliseconds of a start, and nothing else opens it by now. */
function isInspected(execArgv: readonly string[], nodeOptions = ''): boolean {
  return [...execArgv, ...nodeOptions.split(/[\s"]+/)].some((word) => word.startsWith('--inspect'));
}

function refusal(problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path: 'process', problem, rule }], 'ERR_CONFIG');
}
