/**
 * /proc/PID/status: the ids, groups and pids of a process. @see proc_pid_status(5)
 *
 * The first line has the process's name, in which the kernel escapes only `\n` and `\`. The process has no influence on
 * the other lines; each occurs once.
 */

import { otherForm, parseId, readProcFile } from '../../base/index.ts';

/** The fields that attestation needs. Ids are those of Sidekey's user namespace. */
export interface ProcessStatus {
  /** Effective. */
  readonly uid: number;
  /** Effective. */
  readonly gid: number;
  /** The supplementary groups, in the file's order (the kernel sorts them). */
  readonly groups: readonly number[];
  /**
   * The process's pid in each pid namespace that contains it, from that of /proc (which is also Sidekey's) inwards.
   * Empty if the kernel has no pid namespaces or is older than Linux 4.1.
   */
  readonly pids: readonly number[];
  /**
   * True if the main thread has ended; other threads may still run. Then cgroup v1 shows `/` instead of the process's
   * cgroup.
   * @see cgroups(7)
   */
  readonly mainThreadEnded: boolean;
}

/** @throws ENOENT, ESRCH; ERR_PROC if the file is malformed */
export function readStatus(pid: number): ProcessStatus {
  return parseStatus(readProcFile(`/proc/${pid}/status`));
}

/** The real, the effective and the saved user of a process. @throws ENOENT, ESRCH; ERR_PROC if the file is malformed */
export function readUsers(pid: number): readonly number[] {
  const text = readProcFile(`/proc/${pid}/status`);
  checkForm(text);
  return idsOf(text, 'Uid').slice(0, FILE_SYSTEM);
}

/** What the kernel compares with a file's permissions. */
export interface FileRights {
  /** File system ids; they differ from the effective ones only if the program has set them. @see setfsuid(2) */
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Effective capabilities, one bit each, in the process's user namespace. */
  readonly capabilities: bigint;
}

/** @throws ENOENT, ESRCH; ERR_PROC if the file is malformed */
export function readFileRights(pid: number): FileRights {
  const text = readProcFile(`/proc/${pid}/status`);
  const capabilities = parseCapabilities(text);
  const groups = groupsOf(readField(text, 'Groups'));
  return { uid: idOf(text, 'Uid', FILE_SYSTEM), gid: idOf(text, 'Gid', FILE_SYSTEM), groups, capabilities };
}

/** The effective capabilities of this process, one bit each. @throws ERR_PROC if the file is malformed */
export function readOwnCapabilities(): bigint {
  return parseCapabilities(readProcFile('/proc/self/status'));
}

/** @throws ERR_PROC if the file is malformed, or a line is missing or occurs twice */
export function parseStatus(text: string): ProcessStatus {
  checkForm(text);
  const pids = readField(text, 'NSpid')?.split('\t') ?? [];
  return {
    uid: idOf(text, 'Uid', EFFECTIVE),
    gid: idOf(text, 'Gid', EFFECTIVE),
    groups: groupsOf(readField(text, 'Groups')),
    pids: pids.map((pid) => parseId(pid, 'status has a malformed NSpid')),
    mainThreadEnded: /^[ZX]/.test(readField(text, 'State') ?? ''),
  };
}

/** @throws ERR_PROC if the file is malformed */
export function parseCapabilities(text: string): bigint {
  checkForm(text);
  const capabilities = readField(text, 'CapEff');
  if (capabilities === undefined || !/^[0-9a-f]{16}$/.test(capabilities)) throw otherForm('status has no CapEff');
  return BigInt(`0x${capabilities}`);
}

/**
 * The value of the line `KEY:\tVALUE`; undefined if there is none. It searches instead of splitting the sixty lines,
 * because each attestation does this.
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

function idOf(text: string, key: string, which: typeof EFFECTIVE | typeof FILE_SYSTEM): number {
  return idsOf(text, key)[which]!;
}

/** Four ids: real, effective, saved and file system. */
function idsOf(text: string, key: string): readonly number[] {
  const value = readField(text, key);
  if (value === undefined) throw otherForm(`status has no ${key}`);
  const problem = `status has a malformed ${key}`;
  const ids = value.split('\t').map((id) => parseId(id, problem));
  if (ids.length !== 4) throw otherForm(problem);
  return ids;
}

/** Each number is followed by a space. Without groups, there is one space or nothing. */
function groupsOf(value: string | undefined): number[] {
  if (value === undefined) throw otherForm('status has no Groups');
  const ids = value.endsWith(' ') ? value.slice(0, -1) : value;
  return ids === '' ? [] : ids.split(' ').map((id) => parseId(id, 'status has malformed Groups'));
}
