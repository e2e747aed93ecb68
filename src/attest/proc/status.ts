/**
 * /proc/PID/status: the ids, groups and pids of a process. @see proc_pid_status(5)
 *
 * The first line is the process's name, in which the kernel escapes `\n` and `\` alone. All other lines are the kernel's
 * own, and each of them is there once.
 */

import { linesOf, otherForm, parseId, readProcFile } from './text.ts';

/** The members of the file that attestation reads; ids as in this process's user namespace. */
export interface ProcessStatus {
  /** Effective. */
  readonly uid: number;
  /** Effective. */
  readonly gid: number;
  /** The supplementary groups, in the file's order (the kernel sorts them). */
  readonly groups: readonly number[];
  /**
   * The process's pid in each pid namespace that it is in: first in the one of /proc (so, of this process), then in those
   * nested in it, outermost first. Empty where the kernel does not say (no pid namespaces, Linux before 4.1).
   */
  readonly pids: readonly number[];
}

/** @throws ENOENT, ESRCH; ERR_PROC where the file has another form */
export function readStatus(pid: number): ProcessStatus {
  return parseStatus(readProcFile(`/proc/${pid}/status`));
}

/** The effective capabilities of this process, one bit each. @throws ERR_PROC where the file has another form */
export function readOwnCapabilities(): bigint {
  return parseCapabilities(readProcFile('/proc/self/status'));
}

/** @throws ERR_PROC where the file has another form, a line is missing or there twice */
export function parseStatus(text: string): ProcessStatus {
  const fields = readFields(text, ['Uid', 'Gid', 'Groups', 'NSpid']);
  return {
    uid: effectiveOf(fields.get('Uid'), 'Uid'),
    gid: effectiveOf(fields.get('Gid'), 'Gid'),
    groups: groupsOf(fields.get('Groups')),
    pids: (fields.get('NSpid')?.split('\t') ?? []).map((pid) => parseId(pid, 'status has an NSpid of another form')),
  };
}

/** @throws ERR_PROC where the file has another form */
export function parseCapabilities(text: string): bigint {
  const capabilities = readFields(text, ['CapEff']).get('CapEff');
  if (capabilities === undefined || !/^[0-9a-f]{16}$/.test(capabilities)) throw otherForm('status has no CapEff');
  return BigInt(`0x${capabilities}`);
}

/** The values of lines `KEY:\tVALUE`, by key. */
function readFields(text: string, keys: readonly string[]): Map<string, string> {
  const lines = linesOf(text, 'status');
  if (!lines[0]?.startsWith('Name:\t')) throw otherForm('status does not begin with the name');
  const fields = new Map<string, string>();
  for (let at = 1; at < lines.length; at += 1) {
    const line = lines[at]!;
    const key = line.slice(0, line.indexOf(':\t'));
    if (!keys.includes(key)) continue;
    if (fields.has(key)) throw otherForm(`status has more than one ${key}`);
    fields.set(key, line.slice(key.length + 2));
  }
  return fields;
}

/** Of four numbers, real, effective, saved and file system, the second. */
function effectiveOf(value: string | undefined, key: string): number {
  if (value === undefined) throw otherForm(`status has no ${key}`);
  const problem = `status has a ${key} of another form`;
  const ids = value.split('\t').map((id) => parseId(id, problem));
  if (ids.length !== 4) throw otherForm(problem);
  return ids[1]!;
}

/** Numbers with a space between them and one after the last; of no group, that space or nothing. */
function groupsOf(value: string | undefined): number[] {
  if (value === undefined) throw otherForm('status has no Groups');
  const ids = value.endsWith(' ') ? value.slice(0, -1) : value;
  return ids === '' ? [] : ids.split(' ').map((id) => parseId(id, 'status has Groups of another form'));
}
