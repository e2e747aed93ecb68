/**
 * Executes a program under the filters that systemd makes of a unit: GROUPS FAMILIES FILE ARG…. GROUPS are the values of
 * SystemCallFilter=, FAMILIES those of RestrictAddressFamilies=, both lists with commas; RestrictNamespaces=yes and
 * RestrictSUIDSGID=yes (for chmod) are always added. The filters (seccomp) stay with the program and all that it starts.
 */

import { execFileSync } from 'node:child_process';
import { constants } from 'node:os';
import koffi from 'koffi';

const seccomp = koffi.load('libseccomp.so.2');
const init = seccomp.func('void *seccomp_init(uint32_t action)');
const resolve = seccomp.func('int seccomp_syscall_resolve_name(const char *name)');
const add = seccomp.func(
  'int seccomp_rule_add_array(void *filter, uint32_t action, int call, unsigned int count, const uint8_t *conditions)',
);
const load = seccomp.func('int seccomp_load(void *filter)');

const ALLOW = 0x7fff_0000;
const failWith = (errno: number) => 0x0005_0000 | errno;
const UNKNOWN_CALL = -1;
const EQUAL = 4;
const MASKED_EQUAL = 7;
/** The families that Linux has, and some more. */
const FAMILIES = 64;
const FAMILY_NUMBERS: Readonly<Record<string, number>> = { AF_UNIX: 1, AF_INET: 2, AF_INET6: 10 };
const NAMESPACES = [0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000];
const [S_ISGID, S_ISUID] = [0o2000, 0o4000];

/** A `struct scmp_arg_cmp`. */
function condition(argument: number, operation: number, first: number, second = 0): Buffer {
  const buffer = Buffer.alloc(24);
  buffer.writeUInt32LE(argument, 0);
  buffer.writeUInt32LE(operation, 4);
  buffer.writeBigUInt64LE(BigInt(first), 8);
  buffer.writeBigUInt64LE(BigInt(second), 16);
  return buffer;
}

function must(result: number): void {
  if (result !== 0) throw new Error(`libseccomp: ${result}`);
}

/** The calls of a group, and of the groups in it, as systemd of this machine has them. */
function callsOf(name: string): string[] {
  if (!name.startsWith('@')) return [name];
  const lines = execFileSync('systemd-analyze', ['syscall-filter', name], { encoding: 'utf8' }).split('\n').slice(1);
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap(callsOf);
}

const [groups, families, file, ...args] = process.argv.slice(2) as [string, string, string, ...string[]];
const allowed = init(failWith(constants.errno.EPERM));
// What a manager adds to every list: a program could not even begin without.
for (const call of new Set(['@default', ...groups.split(',')].flatMap(callsOf))) {
  const number = resolve(call);
  if (number !== UNKNOWN_CALL) must(add(allowed, ALLOW, number, 0, null));
}
const forbidden = init(ALLOW);
const forbid = (call: string, errno: number, ...conditions: Buffer[]) =>
  must(add(forbidden, failWith(errno), resolve(call), conditions.length, Buffer.concat(conditions)));
const known = families.split(',').map((name) => FAMILY_NUMBERS[name]);
for (let family = 0; family < FAMILIES; family += 1) {
  if (!known.includes(family)) forbid('socket', constants.errno.EAFNOSUPPORT, condition(0, EQUAL, family));
}
for (const flag of NAMESPACES) {
  forbid('clone', constants.errno.EPERM, condition(0, MASKED_EQUAL, flag, flag));
  forbid('unshare', constants.errno.EPERM, condition(0, MASKED_EQUAL, flag, flag));
}
forbid('clone3', constants.errno.ENOSYS);
forbid('setns', constants.errno.EPERM);
for (const bit of [S_ISGID, S_ISUID]) {
  forbid('fchmod', constants.errno.EPERM, condition(1, MASKED_EQUAL, bit, bit));
  forbid('fchmodat', constants.errno.EPERM, condition(2, MASKED_EQUAL, bit, bit));
}
// The second first: with the list in force, no further filter may be loaded.
must(load(forbidden));
must(load(allowed));
process.execve!(file, [file, ...args], process.env as Record<string, string>);
