/** Runs the attestors on any process, not only on callers: for `explain`, which shows why a process has no identity. */

import fs from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { type Clock, readable, SidekeyError } from '../base/index.ts';
import type { Selector } from '../spiffe/index.ts';
import { type AttestOptions, type AttestorFound, runAttestor } from './attestation.ts';
import { hasEnded, SystemCallError } from './libc.ts';
import type { OwnerOf } from './owner-of.ts';
import { readExecutableIdentity } from './proc/exe.ts';
import { type ProcessStatus, readStatus } from './proc/status.ts';
import type { Reach } from './reach.ts';
import { openPidfdByPid } from './socket-peer.ts';
import type { Attestor, CallingProcess, PeerCredentials, ProgramMemory } from './types.ts';

/** The result of one attestor. */
export interface AttestorReport {
  readonly name: string;
  /** The start, in milliseconds since the epoch. */
  readonly at: number;
  /** The duration, in milliseconds. */
  readonly took: number;
  /** In the attestor's order. */
  readonly found: readonly Selector[];
  /** What negative selectors and templates of entries need; see {@link AttestorFound}. */
  readonly further: Pick<AttestorFound, 'negatives' | 'values'>;
  /** Why the attestor failed, so that the attestation of this process would fail; undefined if it did not. */
  readonly error: string | undefined;
  /**
   * A note for the reader: an error without consequence, because no entry needs what failed, or a note of the attestor.
   */
  readonly remark: string | undefined;
}

export interface Inspection {
  /** The current effective ids. */
  readonly credentials: PeerCredentials;
  /** The reason why the process counts as contained; undefined if it does not. */
  readonly contained: string | undefined;
  /** The former path of the program's file, if the file was deleted or replaced. */
  readonly replaced: string | undefined;
  readonly attestors: readonly AttestorReport[];
  /** Whether it can connect to the pipe. */
  readonly reach: Reach;
}

export interface InspectorOptions extends AttestOptions {
  readonly reach: (pid: number) => Reach;
  /** Hashing its program is charged to the owner of the process, whose file system may keep the reader waiting. */
  readonly ownerOf: OwnerOf;
}

/** Maximum number of remarks of one attestor. */
const SHOWN_REMARKS = 5;

/**
 * @throws ERR_NOT_FOUND if the process is not visible or ends meanwhile; ERR_PEER_CHANGED if its ids, groups or program
 *   change meanwhile; ERR_KERNEL if pidfd_open is not available; ERR_PROC
 */
export type Inspect = (pid: number) => Promise<Inspection>;

export function createInspector(options: InspectorOptions): Inspect {
  return async (pid) => {
    const pidfd = pin(pid);
    if (pidfd === undefined) throw notThere(pid);
    try {
      const before = identityOf(pid);
      const { uid, gid, groups } = before.status;
      const credentials = { pid, uid, gid };
      const contained = options.whyContained(pid, before.status);
      const program: ProgramMemory = { path: undefined, replaced: undefined };
      const seen = options.whySeenContained?.(pid, before.status) ?? contained;
      const inspected = { ...credentials, groups, program, contained: seen, owner: options.ownerOf(credentials) };
      const attestors = await Promise.all(options.attestors.map((attestor) => report(attestor, inspected, options)));
      const reach = options.reach(pid);
      const after = readable(() => identityOf(pid));
      // Last: if the process is alive now, nothing above was read from another process that got its pid.
      if (hasEnded(pidfd)) throw notThere(pid);
      if (!isDeepStrictEqual(after, before)) throw changed(pid);
      return { credentials, contained, replaced: program.replaced, attestors, reach };
    } finally {
      fs.closeSync(pidfd);
    }
  };
}

/** The attributes that a process can change, and on which its facts depend. */
function identityOf(pid: number) {
  return { status: statusOf(pid), program: readable(() => readExecutableIdentity(pid)) };
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
    const { selectors: found, ...further } = await runAttestor(attestor, inspected, options, true, (text) =>
      remarks.push(text),
    );
    const remark = remarks.length === 0 ? undefined : remarks.slice(0, SHOWN_REMARKS).join('; ');
    return { found, further, error: undefined, remark, ...head() };
  } catch (error) {
    const message = (error as Error).message;
    try {
      // Without `everything`, as for a caller, the attestor may succeed.
      const { selectors: found, ...further } = await runAttestor(attestor, inspected, options);
      return { found, further, ...nothing, remark: `this failed, but no entry needs it: ${message}`, ...head() };
    } catch {
      return { found: [], further: { negatives: [], values: new Map() }, ...nothing, error: message, ...head() };
    }
  }
}

/** @throws ERR_KERNEL if pidfd_open is not available */
function pin(pid: number): number | undefined {
  try {
    return openPidfdByPid(pid);
  } catch (cause) {
    if (!(cause instanceof SystemCallError)) throw cause;
    throw new SidekeyError('ERR_KERNEL', `processes cannot be inspected by pid: ${cause.message}`, { cause });
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

function changed(pid: number): SidekeyError {
  const message = `process ${pid} changed its user, groups or program while it was examined; ask again`;
  return new SidekeyError('ERR_PEER_CHANGED', message);
}

function notThere(pid: number): SidekeyError {
  return new SidekeyError('ERR_NOT_FOUND', `there is no process ${pid} in the pid namespace of the server`);
}
