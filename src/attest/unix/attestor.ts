/**
 * What the kernel says of a process. Selectors, with SPIRE's names:
 *
 * | selector | from |
 * |---|---|
 * | `uid:N` `gid:N` | SO_PEERCRED: effective, at connect |
 * | `user:NAME` `group:NAME` | the names of those in this machine's passwd and group files |
 * | `supplementary_gid:N` `supplementary_group:NAME` | SO_PEERGROUPS and `Groups` of /proc/PID/status, which must be the same |
 * | `path:/ABSOLUTE` | where /proc/PID/exe points, in the caller's own mount namespace |
 * | `sha256:HEX` | the contents of /proc/PID/exe |
 *
 * `path` and `sha256` are left out where this process may not look at the executable (it is not root, and the caller
 * has another uid): what is not known can't match. An executable beyond the size limit fails the attestation, as in SPIRE.
 *
 * `path` is that of the connection's first attestation as long as the process runs the same file, whatever becomes of the
 * name: a package that replaces the file of a running program takes nothing from it, and a name that the file gets later
 * gives it nothing. Where the file was deleted or replaced before that, there is no `path`. `sha256` is not remembered: it
 * is read from the file that runs, which a process keeps even when its name is gone, so that a file that was changed in
 * place (network and FUSE file systems allow it) has its new hash.
 *
 * In a user namespace that leaves ids unmapped, the overflow id stands for all of them, and for nobody: such a uid fails
 * the attestation, and such groups are left out. (An entry that excludes a group must not match a caller with such a one.)
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/plugin_agent_workloadattestor_unix.md
 */

import { SidekeyError } from '../../base/errors.ts';
import { readUnmappedIds, type UnmappedIds } from '../../base/unmapped-ids.ts';
import type { Log } from '../../telemetry/log.ts';
import { type Accounts, createAccounts } from '../accounts.ts';
import type { RunningAttestor } from '../description.ts';
import { createFileHasher, type FileHasher } from '../file-hash.ts';
import { executableLink, readExecutablePath } from '../proc/exe.ts';
import { checkGroupCount } from '../supplementary-groups.ts';
import { meant, whyNever } from './why-never.ts';

export interface UnixAttestorOptions {
  readonly log: Log;
  /** Asked at each attestation: hashing a large binary for the first time delays a secret by a few 100 ms. */
  readonly wantSha256: () => boolean;
  /** Asked when a program turns out to have been replaced: whether anybody is to hear of it. */
  readonly wantPath?: () => boolean;
  readonly accounts?: Accounts;
  readonly hasher?: FileHasher;
  readonly unmapped?: UnmappedIds;
}

/** The log gets one line in this many milliseconds about programs that were replaced. */
const REPLACED_LOG_MS = 10_000;

export function createUnixAttestor(options: UnixAttestorOptions): RunningAttestor {
  const { log, wantSha256, wantPath = () => true, accounts = createAccounts(), hasher = createFileHasher() } = options;
  const { unmapped = readUnmappedIds() } = options;
  let nextReplacedLog = 0;

  return {
    name: 'unix',
    async attest(
      { pid, uid, gid, groups, owner, program = { path: undefined, replaced: undefined } },
      everything = false,
    ) {
      checkGroupCount(pid, groups.length);
      if (uid === unmapped.uid) throw unknownUser(pid, uid);
      const values = [`uid:${uid}`];
      add(values, 'user', accounts.user(uid));
      if (gid !== unmapped.gid) {
        values.push(`gid:${gid}`);
        add(values, 'group', accounts.group(gid));
      }
      for (const id of groups) {
        if (id === unmapped.gid) continue;
        values.push(`supplementary_gid:${id}`);
        add(values, 'supplementary_group', accounts.group(id));
      }
      if (program.path === undefined)
        await ifAllowed(pid, 'path', () => void Object.assign(program, readExecutablePath(pid)));
      add(values, 'path', program.path);
      if (program.replaced !== undefined && !everything) tellReplaced(pid, uid, program.replaced);
      if (wantSha256())
        add(values, 'sha256', await ifAllowed(pid, 'sha256', () => hasher.sha256(executableLink(pid), owner)));
      return values.map((value) => ({ type: 'unix', value }));
    },
    whyNever: (value) => whyNever(value, accounts, unmapped),
    meant: (value) => meant(value, accounts),
  };

  function tellReplaced(pid: number, uid: number, path: string): void {
    const now = performance.now();
    if (now < nextReplacedLog || !wantPath()) return;
    nextReplacedLog = now + REPLACED_LOG_MS;
    log.warn({ pid, uid, path }, 'the file was replaced: restart the program, which has no unix:path until then');
  }

  async function ifAllowed<T>(pid: number, selector: string, read: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!isForbidden(error)) throw error;
      log.debug({ pid }, `no unix:${selector} selector: this process may not look at the executable`);
      return undefined;
    }
  }
}

function unknownUser(pid: number, uid: number): SidekeyError {
  const message = `the user of process ${pid} is not mapped in the user namespace of Sidekey, where every such user reads as ${uid}`;
  return new SidekeyError('ERR_ATTESTATION_FAILED', `${message}; run Sidekey outside of it, or map the user`);
}

function add(values: string[], selector: string, value: string | undefined): void {
  if (value !== undefined) values.push(`${selector}:${value}`);
}

function isForbidden(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
}
