/** How a server that runs is started anew, read off its process. */

import fs from 'node:fs';
import { shellQuote } from '../base/shell.ts';

export interface ProcessView {
  /** As in /proc/PID: words and variables that end with NUL, and lines. */
  readonly cmdline: string;
  readonly cgroup: string;
  readonly stat: string;
  /** Undefined where only root may read it: a server keeps them from other processes of its user. */
  readonly environ: string | undefined;
  /** As `environ`. */
  readonly cwd: string | undefined;
  /** Whose process it is. */
  readonly uid: number;
}

/** @returns undefined where the process can't be looked at, as one in another pid namespace */
export function viewProcess(pid: number): ProcessView | undefined {
  const read = (name: string) => fs.readFileSync(`/proc/${pid}/${name}`, 'utf8');
  try {
    const { uid } = fs.statSync(`/proc/${pid}`);
    const [cmdline, cgroup, stat] = [read('cmdline'), read('cgroup'), read('stat')];
    const environ = unlessForbidden(() => read('environ'));
    const cwd = unlessForbidden(() => fs.readlinkSync(`/proc/${pid}/cwd`));
    return { cmdline, environ, cgroup, stat, cwd, uid };
  } catch {
    return undefined;
  }
}

function unlessForbidden(look: () => string): string | undefined {
  try {
    return look();
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM') return undefined;
    throw thrown;
  }
}

/**
 * The command that ends it and starts it as it was started, with these flags more; undefined where that is not known:
 * settings may come from its environment, and what started it may be an engine or another manager.
 */
export function restartCommand(
  pid: number,
  { cmdline, environ, cgroup, stat, cwd, uid }: ProcessView,
  flags: readonly string[] = [],
): string | undefined {
  const words = cmdline.split('\0').slice(0, -1);
  const serve = words.indexOf('serve');
  if (serve === -1 || pid === 1) return undefined;
  const unit = /^0::\/system\.slice\/(?:[^\n]*\/)?([^/\n]+\.service)$/m.exec(cgroup)?.[1];
  if (unit !== undefined) {
    const itself = isMain(pid, stat) && flags.length === 0;
    return itself ? `systemctl restart ${shellQuote(unit)}` : undefined;
  }
  if (uid !== process.geteuid!()) return undefined;
  if (environ === undefined || cwd === undefined) return undefined;
  if (environ.split('\0').some((variable) => variable.startsWith('SIDEKEY_'))) return undefined;
  const again = ['sidekey', ...words.slice(serve), ...flags].map(shellQuote).join(' ');
  const end = `kill ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.1; done`;
  return `${end}; cd ${shellQuote(cwd)} && ${again}`;
}

/**
 * What systemd starts for a unit is its child, and begins a session; a program that a unit such as cron starts is not both.
 * @see proc_pid_stat(5)
 */
function isMain(pid: number, stat: string): boolean {
  // A name in parentheses comes before, with any letters in it.
  const [, parent, , session] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  return parent === 1 && session === pid;
}
