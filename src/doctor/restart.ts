/** Derives the command that restarts a running server from its process. */

import fs from 'node:fs';
import type { DoctorJson } from '../admin/index.ts';
import { type CgroupLine, type ProcessStat, readCgroup, readStat, readStatus } from '../attest/index.ts';
import { readProcRecords, shellQuote } from '../base/index.ts';

export interface ProcessView {
  /** Undefined for a process of another user, which could make a read of its command line block for ever. */
  readonly cmdline: readonly string[] | undefined;
  readonly cgroup: readonly CgroupLine[];
  readonly stat: Pick<ProcessStat, 'parent' | 'session'>;
  /** Whether its environment has settings. Undefined if that is not known. */
  readonly settingsInEnvironment: boolean | undefined;
  /** Its working directory. Undefined if that is not known. */
  readonly cwd: string | undefined;
  /** The effective uid of the process. */
  readonly uid: number;
}

/**
 * A server hides its environment and directory from other processes of its user: these are taken from its report.
 * @returns undefined if the process can't be read, for example in another pid namespace
 */
export function viewProcess(pid: number, reported?: DoctorJson['started']): ProcessView | undefined {
  try {
    // From the status file: the owner of /proc/PID is root if the process hides its memory, as a server does.
    const { uid } = readStatus(pid);
    const isOwn = uid === process.geteuid!();
    const environ = isOwn ? unlessForbidden(() => wordsOf(pid, 'environ')) : undefined;
    const settingsInEnvironment =
      environ?.some((variable) => variable.startsWith('SIDEKEY_')) ?? reported?.settings_in_environment;
    const cmdline = isOwn ? wordsOf(pid, 'cmdline') : undefined;
    const cwd = unlessForbidden(() => fs.readlinkSync(`/proc/${pid}/cwd`)) ?? reported?.directory;
    return { cmdline, settingsInEnvironment, cgroup: readCgroup(pid), stat: readStat(pid), cwd, uid };
  } catch {
    return undefined;
  }
}

/** @throws ERR_PROC if the file is too large */
function wordsOf(pid: number, file: 'cmdline' | 'environ'): string[] {
  const text = Buffer.from(readProcRecords(`/proc/${pid}/${file}`), 'latin1').toString('utf8');
  return text.split('\0').slice(0, -1);
}

function unlessForbidden<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM') return undefined;
    throw thrown;
  }
}

/**
 * The command that ends the server and starts it again in the same way, with additional flags. Undefined if the command is
 * unknown, as when settings come from the server's environment, or when an engine or another manager started it.
 */
export function restartCommand(
  pid: number,
  { cmdline, settingsInEnvironment, cgroup, stat, cwd, uid }: ProcessView,
  flags: readonly string[] = [],
): string | undefined {
  const serve = cmdline === undefined ? undefined : commandAt(cmdline);
  if (serve === -1 || pid === 1) return undefined;
  const unit = systemdUnit(cgroup);
  if (unit !== undefined) {
    const itself = isMain(pid, stat) && flags.length === 0;
    return itself ? `systemctl restart ${shellQuote(unit)}` : undefined;
  }
  if (uid !== process.geteuid!()) return undefined;
  // Without the settings and the directory of this server, the command could start a different one.
  if (cmdline === undefined || settingsInEnvironment !== false || cwd === undefined) return undefined;
  const again = ['sidekey', ...cmdline.slice(serve), ...flags].map(shellQuote).join(' ');
  const end = `kill ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.1; done`;
  return `${end}; cd ${shellQuote(cwd)} && ${again}`;
}

/** The index of `serve`, or of `agent run`; -1 without either. */
function commandAt(cmdline: readonly string[]): number {
  const run = cmdline.findIndex((word, at) => word === 'agent' && cmdline[at + 1] === 'run');
  return run === -1 ? cmdline.indexOf('serve') : run;
}

/** The command that makes the server read its files again. Undefined if the process is not seen to be a server. */
export function reloadCommand(pid: number, { cmdline }: ProcessView): string | undefined {
  return cmdline !== undefined && commandAt(cmdline) !== -1 ? `kill -HUP ${pid}` : undefined;
}

/**
 * Whether this is the main process of a unit: a child of systemd that leads a session. A program that cron or another unit
 * starts does not meet both conditions.
 */
function isMain(pid: number, { parent, session }: ProcessView['stat']): boolean {
  return parent === 1 && session === pid;
}

/** The systemd system service of a process; undefined if it has none. @see systemd.unit(5) */
function systemdUnit(cgroup: readonly CgroupLine[]): string | undefined {
  const path = cgroup.find(({ hierarchy }) => hierarchy === '')?.path;
  if (path === undefined || !path.startsWith('/system.slice/')) return undefined;
  const unit = path.slice(path.lastIndexOf('/') + 1);
  // Only characters that systemd allows: a user with a delegated subtree may choose other cgroup names.
  return /^[A-Za-z0-9:_.\\@-]+\.service$/.test(unit) ? unit : undefined;
}
