/**
 * Checks that the process with the pid that an engine reports is the container's main process.
 *
 * The engine's answer may be outdated: the main process may have ended, and its pid may belong to a process of any
 * user, in a cgroup that this user made and named after the container. So the process is pinned before the engine is
 * asked (or asked again), and it must have started with the container.
 */

import fs from 'node:fs';
import { readable, SidekeyError } from '../../base/index.ts';
import { bootTicks, hasEnded, SystemCallError } from '../libc.ts';
import { readCgroupText } from '../proc/cgroup.ts';
import { readStat } from '../proc/stat.ts';
import { openPidfdByPid } from '../socket-peer.ts';
import { type CgroupPlace, isWhereEnginesPut, parseCgroup } from './cgroup.ts';

export interface MainProcess {
  readonly pid: number;
  /** Its start, in hundredths of a second; see {@link ProcessStat.startTicks}. */
  readonly startTicks: number;
  /** Its cgroups. */
  readonly place: CgroupPlace;
}

/** A process that is pinned by a pidfd until `close`. */
export interface PinnedProcess extends MainProcess {
  hasEnded(): boolean;
  close(): void;
}

/**
 * Pins the process that has this pid now, and reads its start and cgroups; undefined if it has ended or is not visible.
 * @throws ERR_ATTESTATION_FAILED if it is in two containers, or if pidfd_open is not available
 */
export function pinProcess(pid: number): PinnedProcess | undefined {
  const pidfd = openPidfd(pid);
  if (pidfd === undefined) return undefined;
  try {
    const startTicks = readable(() => readStat(pid).startTicks);
    const cgroups = readable(() => readCgroupText(pid));
    // Afterwards: if the process is alive now, its pid was not reused while /proc was read.
    if (startTicks !== undefined && cgroups !== undefined && !hasEnded(pidfd)) {
      const place = parseCgroup(cgroups);
      return { pid, startTicks, place, hasEnded: () => hasEnded(pidfd), close: () => fs.closeSync(pidfd) };
    }
  } catch (error) {
    fs.closeSync(pidfd);
    throw error;
  }
  fs.closeSync(pidfd);
  return undefined;
}

function openPidfd(pid: number): number | undefined {
  try {
    return openPidfdByPid(pid);
  } catch (cause) {
    if (!(cause instanceof SystemCallError)) throw cause;
    const message = `${cause.message}: the main process of a container cannot be distinguished from one that reuses its pid`;
    throw new SidekeyError('ERR_ATTESTATION_FAILED', message, { cause });
  }
}

/** True if every process that starts from now on has a later start, in ticks. */
export function canBeCached({ startTicks }: MainProcess): boolean {
  return startTicks < bootTicks();
}

/** True while the process is alive. A process that reuses its pid has a later start ({@link canBeCached}). */
export function isAlive({ pid, startTicks }: MainProcess): boolean {
  const stat = readable(() => readStat(pid));
  return stat?.startTicks === startTicks && !stat.hasEnded;
}

/** An instant on both clocks. */
export interface Instant {
  /** See {@link bootTicks}. */
  readonly ticks: number;
  /** Milliseconds since the epoch. */
  readonly wall: number;
}

export function instant(): Instant {
  return { ticks: bootTicks(), wall: Date.now() };
}

const TICK_MS = 10;
/** The process's start and the current time are each rounded down to a tick. */
const ROUNDING_MS = 2 * TICK_MS;
/**
 * How long before `StartedAt` the process may start, because Podman and older Dockers read the clock after they started
 * it.
 */
const EARLY_MS = 10_000;
/**
 * How long after `StartedAt` the process may start, because newer Dockers (2024, moby pull request 47003) read the
 * clock first.
 */
const LATE_MS = 1_000;
/** Time within which an engine notices the end of a main process, in milliseconds. */
const NOTICED_MS = 10_000;

/**
 * True if a process with the pid of a container's main process is the main process, without asking the engine. Its
 * start must fit. It must also be in a cgroup where only root puts processes, or be so old that the engine would have
 * noticed the end of an earlier process with the pid. (An engine may set `StartedAt` after the main process has ended,
 * so a process that reuses the pid can have started before `StartedAt`.)
 */
export function isMainProcess(process: MainProcess, startedAt: number, now: Instant): boolean {
  if (!startedWith(startedAt, process.startTicks, now)) return false;
  return (now.ticks - process.startTicks) * TICK_MS >= NOTICED_MS || isWhereEnginesPut(process.place);
}

/**
 * True if the start of a process fits the start of its container. If false, the process may have started after the main
 * process ended, and the engine must be asked.
 *
 * `StartedAt` is wall-clock time, the start of a process CLOCK_BOOTTIME. Both include the time that the machine was
 * suspended, and both are slewed. If the wall clock was set since the container started, the two differ by that amount.
 *
 * | the process started | fits |
 * |---|---|
 * | more than {@link LATE_MS} after `StartedAt` | no |
 * | later than `StartedAt`, but less than that | once it is {@link NOTICED_MS} old |
 * | at `StartedAt`, or at most {@link EARLY_MS} before | yes |
 * | earlier (the clock was set back) | once it is {@link NOTICED_MS} old |
 *
 * Both numbers of ticks include the offset of the time namespace.
 *
 * @param startedAt the engine's `StartedAt`, in milliseconds since the epoch
 */
export function startedWith(startedAt: number, startTicks: number, now: Instant): boolean {
  const age = (now.ticks - startTicks) * TICK_MS;
  const late = now.wall - age - startedAt;
  if (late > LATE_MS) return false;
  return (late <= ROUNDING_MS && late >= -EARLY_MS) || age >= NOTICED_MS;
}
