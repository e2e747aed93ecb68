/**
 * A container's main process: what the engine says of it, held against what the kernel says.
 *
 * An engine's answer may be old when it is read, and an engine may notice late that a process has ended. The pid may be
 * another process's by then: that of any user, in a cgroup which that user made and named after the container. So the pid is
 * pinned before the engine is asked (or asked again), and the process that has it must be as old as the container.
 */

import fs from 'node:fs';
import { SidekeyError } from '../../base/errors.ts';
import { readable } from '../../base/proc/text.ts';
import { bootTicks, hasEnded, SystemCallError } from '../libc.ts';
import { readCgroupText } from '../proc/cgroup.ts';
import { readStat } from '../proc/stat.ts';
import { openPidfdByPid } from '../socket-peer.ts';
import { type CgroupPlace, isWhereEnginesPut, parseCgroup } from './cgroup.ts';

/** A process that the engine was asked about while it was pinned. */
export interface MainProcess {
  readonly pid: number;
  /** When it began, in hundredths of a second; see {@link ProcessStat.startTicks}. */
  readonly startTicks: number;
  /** Which cgroups it is in. */
  readonly place: CgroupPlace;
}

/** A process that keeps its pid: to close. */
export interface PinnedProcess extends MainProcess {
  hasEnded(): boolean;
  close(): void;
}

/**
 * Pins the process that has this pid now, and reads what the kernel says of it; undefined where it has ended or can't be seen.
 * @throws ERR_ATTESTATION_FAILED where it is in two containers, or no process can be pinned here
 */
export function pinProcess(pid: number): PinnedProcess | undefined {
  const pidfd = openPidfd(pid);
  if (pidfd === undefined) return undefined;
  try {
    const startTicks = readable(() => readStat(pid).startTicks);
    const cgroups = readable(() => readCgroupText(pid));
    // Looked at last: if it is alive now, what was read is of this process.
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
    const message = `${cause.message}: the main process of a container can't be told from another one that takes its pid`;
    throw new SidekeyError('ERR_ATTESTATION_FAILED', message, { cause });
  }
}

/** True if processes that begin from now on can be told from this one by their start times. */
export function canBeRemembered({ startTicks }: MainProcess): boolean {
  return startTicks < bootTicks();
}

/** True while the process lives: no other one with its pid began when it did ({@link canBeRemembered}). */
export function isAlive({ pid, startTicks }: MainProcess): boolean {
  const stat = readable(() => readStat(pid));
  return stat?.startTicks === startTicks && !stat.hasEnded;
}

/** An instant, by both clocks. */
export interface Instant {
  /** As {@link bootTicks} has it. */
  readonly ticks: number;
  /** Milliseconds since the epoch. */
  readonly wall: number;
}

export function instant(): Instant {
  return { ticks: bootTicks(), wall: Date.now() };
}

const TICK_MS = 10;
/** Both ends of the process's age are rounded down to a tick. */
const ROUNDING_MS = 2 * TICK_MS;
/** How long before `StartedAt` older Dockers and Podman may have made the process: they note the time once it runs. */
const EARLY_MS = 10_000;
/** How long after `StartedAt` Docker may make the process: since moby pull request 47003 (2024) it notes the time first. */
const LATE_MS = 1_000;
/** An engine that says that a process runs has noticed the end of any that ended longer ago. */
const NOTICED_MS = 10_000;

/**
 * True if a process that has the pid of a container's main process may be taken for it without a look of the engine's own:
 * by its start time, and by being where only root puts processes, or so old that the engine has noticed the end of any that
 * had the pid before. (Engines may note the start of a container that has ended already, so that a process which took the
 * pid meanwhile began before it.)
 */
export function isOfContainer(process: MainProcess, startedAt: number, now: Instant): boolean {
  if (!beganWith(startedAt, process.startTicks, now)) return false;
  return (now.ticks - process.startTicks) * TICK_MS >= NOTICED_MS || isWhereEnginesPut(process.place);
}

/**
 * True if a process that has the pid of a container's main process may be taken for it by its start time; false where that
 * takes a look of the engine's own, since the pid may be that of a process which began after the main one had ended.
 *
 * `StartedAt` is an instant of the wall clock, a process's start one of CLOCK_BOOTTIME. Both count the time that the machine
 * was suspended, and are slewed alike; a wall clock that was set between the container's start and now shifts the start by
 * as much. So what began more than {@link LATE_MS} after `StartedAt` is never taken; a start that fits to the tick is. What
 * is between, and what seems to have begun long before (the clock was set back), is taken once it is {@link NOTICED_MS} old.
 * Offsets of a time namespace are in both numbers of ticks.
 *
 * @param startedAt as the engine has it, in milliseconds since the epoch
 */
export function beganWith(startedAt: number, startTicks: number, now: Instant): boolean {
  const age = (now.ticks - startTicks) * TICK_MS;
  const late = now.wall - age - startedAt;
  if (late > LATE_MS) return false;
  return (late <= ROUNDING_MS && late >= -EARLY_MS) || age >= NOTICED_MS;
}
