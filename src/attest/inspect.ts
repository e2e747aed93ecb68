/** What each attestor finds out about a process that did not call: for a person who asks why it has no identity. */

import fs from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import type { Selector } from '../spiffe/selector.ts';
import { type AttestOptions, ask } from './attestation.ts';
import { hasEnded, SystemCallError } from './libc.ts';
import { type ProcessStatus, readStatus } from './proc/status.ts';
import { openPidfdByPid } from './socket-peer.ts';
import type { Attestor, CallingProcess, PeerCredentials, ProgramMemory } from './types.ts';

/** One attestor's word. */
export interface AttestorReport {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** How long it took, in milliseconds. */
  readonly took: number;
  /** Sorted as the attestor gives them. */
  readonly found: readonly Selector[];
  /** Why it failed; a caller would get nothing then, whatever the others say. */
  readonly error: string | undefined;
  /** What a person should know: that nobody asks for what failed, or what an attestor passes over. */
  readonly remark: string | undefined;
}

export interface Inspection {
  /** As the kernel has it now: effective. */
  readonly credentials: PeerCredentials;
  /** Why it counts as contained; undefined where it does not. */
  readonly contained: string | undefined;
  /** The path that its program's file had before it was deleted or replaced; undefined where it was not. */
  readonly replaced: string | undefined;
  readonly attestors: readonly AttestorReport[];
}

/** The most remarks of one attestor. */
const SHOWN_REMARKS = 5;

export type Inspect = (pid: number) => Promise<Inspection>;

/** @returns a function that throws ERR_NOT_FOUND where no such process is to be seen, or it ended meanwhile */
export function createInspector(options: AttestOptions): Inspect {
  return async (pid) => {
    const pidfd = pin(pid);
    if (pidfd === undefined) throw notThere(pid);
    try {
      const status = statusOf(pid);
      const { uid, gid, groups } = status;
      const contained = options.whyContained(pid, status);
      const program: ProgramMemory = { path: undefined, replaced: undefined };
      const inspected = { pid, uid, gid, groups, program };
      const attestors = await Promise.all(options.attestors.map((attestor) => report(attestor, inspected, options)));
      // Another process may have got the number: then the facts are of two.
      if (hasEnded(pidfd)) throw notThere(pid);
      return { credentials: { pid, uid, gid }, contained, replaced: program.replaced, attestors };
    } finally {
      fs.closeSync(pidfd);
    }
  };
}

async function report(
  attestor: Attestor,
  inspected: CallingProcess,
  options: AttestOptions & { readonly clock: Clock },
): Promise<AttestorReport> {
  const at = options.clock.now();
  const begun = performance.now();
  const head = () => ({ name: attestor.name, at, took: performance.now() - begun });
  const nothing = { error: undefined, remark: undefined };
  try {
    const remarks: string[] = [];
    const found = await ask(attestor, inspected, options, true, (text) => remarks.push(text));
    const remark = remarks.length === 0 ? undefined : remarks.slice(0, SHOWN_REMARKS).join('; ');
    return { found, error: undefined, remark, ...head() };
  } catch (error) {
    const message = (error as Error).message;
    try {
      const found = await ask(attestor, inspected, options);
      return { found, ...nothing, remark: `no entry asks for what fails: ${message}`, ...head() };
    } catch {
      return { found: [], ...nothing, error: message, ...head() };
    }
  }
}

/** @throws ERR_KERNEL where this can't be done here at all */
function pin(pid: number): number | undefined {
  try {
    return openPidfdByPid(pid);
  } catch (cause) {
    if (!(cause instanceof SystemCallError)) throw cause;
    throw new SidekeyError('ERR_KERNEL', `no process can be looked at by its pid: ${cause.message}`, { cause });
  }
}

function statusOf(pid: number): ProcessStatus {
  try {
    return readStatus(pid);
  } catch (cause) {
    if (cause instanceof SidekeyError) throw cause;
    throw new SidekeyError('ERR_NOT_FOUND', `/proc does not show process ${pid} (is it mounted with hidepid?)`, {
      cause,
    });
  }
}

function notThere(pid: number): SidekeyError {
  return new SidekeyError('ERR_NOT_FOUND', `there is no process ${pid} in the pid namespace of the server`);
}
