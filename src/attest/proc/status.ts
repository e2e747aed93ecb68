/**
 * /proc/PID/status: the ids, groups and pids of a process. @see proc_pid_status(5)
 *
 * The first line is the process's name, in which the kernel escapes `\n` and `\` alone. All other lines are the kernel's
 * own, and each of them is there once.
 */

import { otherForm, parseId, readProcFile } from '../../base/proc/text.ts';

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
  /**
   * The main thread has ended, and others may go on. Of such a one cgroup v1 says that it is in `/`, whatever it is in.
   * @see cgroups(7)
   */
  readonly mainThreadEnded: boolean;
}

/** @throws ENOENT, ESRCH; ERR_PROC where the file has another form */
export function readStatus(pid: number): ProcessStatus {
  return parseStatus(readProcFile(`/proc/${pid}/status`));
}

/** What decides which files a process may use. */
export interface FileRights {
  /** File system ids; they differ from the effective ones only where a program has set them so. @see setfsuid(2) */
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Effective capabilities, one bit each, in the process's user namespace. */
  readonly capabilities: bigint;
}

/** @throws ENOENT, ESRCH; ERR_PROC where the file has another form */
export function readFileRights(pid: number): FileRights {
  const text = readProcFile(`/proc/${pid}/status`);
  const capabilities = parseCapabilities(text);
  const groups = groupsOf(readField(text, 'Groups'));
  return { uid: idOf(text, 'Uid', FILE_SYSTEM), gid: idOf(text, 'Gid', FILE_SYSTEM), groups, capabilities };
}

/** The effective capabilities of this process, one bit each. @throws ERR_PROC where the file has another form */
export function readOwnCapabilities(): bigint {
  return parseCapabilities(readProcFile('/proc/self/status'));
}

/** @throws ERR_PROC where the file has another form, a line is missing or there twice */
export function parseStatus(text: string): ProcessStatus {
  checkForm(text);
  const pids = readField(text, 'NSpid')?.split('\t') ?? [];
  return {
    uid: idOf(text, 'Uid', EFFECTIVE),
    gid: idOf(text, 'Gid', EFFECTIVE),
    groups: groupsOf(readField(text, 'Groups')),
    pids: pids.map((pid) => parseId(pid, 'status has an NSpid of another form')),
    mainThreadEnded: /^[ZX]/.test(readField(text, 'State') ?? ''),
  };
}

/** @throws ERR_PROC where the file has another form */
export function parseCapabilities(text: string): bigint {
  checkForm(text);
  const capabilities = readField(text, 'CapEff');
  if (capabilities === undefined || !/^[0-9a-f]{16}$/.test(capabilities)) throw otherForm('status has no CapEff');
  return BigInt(`0x${capabilities}`);
}

/**
 * The value of the line `KEY:\tVALUE`; undefined where there is none. It is looked for instead of splitting the text, which
 * has sixty lines: that is part of every attestation.
 */
function readField(text: string, key: string): string | undefined {
  const label = `\n${key}:\t`;
  const at = text.indexOf(label);
  if (at === -1) return undefined;
  const begin = at + label.length;
  const end = text.indexOf('\n', begin);
  if (text.indexOf(label, begin - 1) !== -1) throw otherForm(`status has more than one ${key}`);
  return text.slice(begin, end);
}

function checkForm(text: string): void {
  if (!text.startsWith('Name:\t')) throw otherForm('status does not begin with the name');
  if (!text.endsWith('\n')) throw otherForm('status ends within a line');
}

const EFFECTIVE = 1;
const FILE_SYSTEM = 3;

/** One of four numbers: real, effective, saved and file system. */
function idOf(text: string, key: string, which: typeof EFFECTIVE | typeof FILE_SYSTEM): number {
  const value = readField(text, key);
  if (value === undefined) throw otherForm(`status has no ${key}`);
  const problem = `status has a ${key} of another form`;
  const ids = value.split('\t').map((id) => parseId(id, problem));
  if (ids.length !== 4) throw otherForm(problem);
  return ids[which]!;
}

/** Numbers with a space between them and one after the last; of no group, that space or nothing. */
function groupsOf(value: string | undefined): number[] {
  if (value === undefined) throw otherForm('status has no Groups');
  const ids = value.endsWith(' ') ? value.slice(0, -1) : value;
  return ids === '' ? [] : ids.split(' ').map((id) => parseId(id, 'status has Groups of another form'));
}
