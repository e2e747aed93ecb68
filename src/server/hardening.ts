/** Prevents other processes from reading this process's memory, which contains every key, and from inheriting its files. */

import { readdirSync } from 'node:fs';
import koffi from 'koffi';
import { SidekeyError } from '../base/index.ts';

const libc = koffi.load(null);
const prctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
const setrlimit = libc.func('int setrlimit(int resource, const uint8_t *limit)');

const fcntl = libc.func('int fcntl(int fd, int command, ...)');

const PR_SET_DUMPABLE = 4;
const RLIMIT_CORE = 4;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
/** The first descriptor after stdin, stdout and stderr. */
const FIRST_OTHER_FD = 3;
/** A `struct rlimit` of two zeros: the soft and the hard limit. */
const ZERO = Buffer.alloc(16);

/**
 * Call before keys are read. Afterwards no core file is written, not even by a program in `core_pattern`, and only a
 * process with CAP_SYS_PTRACE can attach to this one or read its memory, not other processes of its user. Root becomes
 * the owner of the restricted files in `/proc/PID`. SIGUSR1 is ignored.
 * @see prctl(2), PR_SET_DUMPABLE; core(5)
 * @throws ERR_CONFIG if Node's inspector is open or the kernel refuses
 */
export function hardenProcess(): void {
  // Replaces Node's handler, which opens the inspector. bin/sidekey disables that handler; this line is for a start
  // without bin/sidekey.
  process.on('SIGUSR1', () => undefined);
  if (isInspected(process.execArgv, process.env.NODE_OPTIONS)) {
    throw refusal("Node's inspector is open (--inspect), which shows all keys", 'start the server without it');
  }
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) {
    throw refusal(`prctl(PR_SET_DUMPABLE) failed: errno ${koffi.errno()}`, 'the system call filter must allow prctl');
  }
  // A second measure; some system call filters refuse it, and the first one is sufficient.
  setrlimit(RLIMIT_CORE, ZERO);
  closeOnExec();
}

/**
 * Marks the open descriptors close-on-exec: programs that Sidekey runs must not inherit descriptors that were open when
 * Sidekey was started. Node does the same for the descriptors that it opens.
 */
function closeOnExec(): void {
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    // fcntl fails for the descriptor that listed the directory, because that is closed by now.
    if (fd >= FIRST_OTHER_FD) fcntl(fd, F_SETFD, 'int', FD_CLOEXEC);
  }
}

/**
 * Checks only the flags, because loading node:inspector would slow down the start, and nothing else can have opened the
 * inspector by now.
 */
function isInspected(execArgv: readonly string[], nodeOptions = ''): boolean {
  return [...execArgv, ...nodeOptions.split(/[\s"]+/)].some((word) => word.startsWith('--inspect'));
}

function refusal(problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path: 'process', problem, rule }], 'ERR_CONFIG');
}
