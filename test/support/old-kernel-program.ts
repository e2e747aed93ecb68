/**
 * Executes a program as on a kernel that lacks some system calls: LACKS FILE ARG…, where LACKS is a list with commas of the
 * names in CALLS, each with the error that it fails with: `peerpidfd:ENOPROTOOPT,pidfd_open:EPERM`. The filter (seccomp)
 * stays with the program and all that it starts.
 */

import { constants } from 'node:os';
import koffi from 'koffi';

const x64 = process.arch === 'x64';
/** Number of the call, and what its third argument has to be. */
const CALLS: Readonly<Record<string, { readonly number: number; readonly third?: number }>> = {
  peerpidfd: { number: x64 ? 55 : 209, third: 77 },
  peergroups: { number: x64 ? 55 : 209, third: 59 },
  pidfd_open: { number: 434 },
  statx: { number: x64 ? 332 : 291 },
};

const LOAD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const ALLOW = 0x7fff_0000;
const FAIL = 0x0005_0000;
/** Offsets in `struct seccomp_data`. */
const NUMBER = 0;
const THIRD_ARGUMENT = 32;

const [lacks, file, ...args] = process.argv.slice(2) as [string, string, ...string[]];
const program: Buffer[] = [];
for (const lack of lacks.split(',')) {
  const [call, error] = lack.split(':') as [string, keyof typeof constants.errno];
  const { number, third } = CALLS[call]!;
  add(LOAD, 0, 0, NUMBER);
  add(JUMP_IF_EQUAL, 0, third === undefined ? 1 : 3, number);
  if (third !== undefined) {
    add(LOAD, 0, 0, THIRD_ARGUMENT);
    add(JUMP_IF_EQUAL, 0, 1, third);
  }
  add(RETURN, 0, 0, FAIL | constants.errno[error]);
}
add(RETURN, 0, 0, ALLOW);

const libc = koffi.load(null);
const prctl = libc.func(
  'int prctl(int option, unsigned long second, uint8_t *third, unsigned long fourth, unsigned long)',
);
const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
const code = Buffer.concat(program);
/** A `struct sock_fprog`. */
const filter = Buffer.alloc(16);
filter.writeUInt16LE(program.length, 0);
filter.writeBigUInt64LE(koffi.address(code), 8);
if (prctl(PR_SET_NO_NEW_PRIVS, 1, null, 0, 0) !== 0) throw new Error('prctl PR_SET_NO_NEW_PRIVS fails');
if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter, 0, 0) !== 0) throw new Error('prctl PR_SET_SECCOMP fails');
process.execve!(file, [file, ...args], process.env as Record<string, string>);

/** One `struct sock_filter`. */
function add(operation: number, ifTrue: number, ifFalse: number, value: number): void {
  const instruction = Buffer.alloc(8);
  instruction.writeUInt16LE(operation, 0);
  instruction.writeUInt8(ifTrue, 2);
  instruction.writeUInt8(ifFalse, 3);
  instruction.writeUInt32LE(value, 4);
  program.push(instruction);
}
