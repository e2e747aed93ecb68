/**
 * The unix attestor: facts about a process from the kernel. The selectors have SPIRE's names:
 *
 * | selector | source |
 * |---|---|
 * | `uid:N` `gid:N` | SO_PEERCRED: the effective ids at connect |
 * | `user:NAME` `group:NAME` | the names of these ids in Sidekey's passwd and group files |
 * | `supplementary_gid:N` `supplementary_group:NAME` | SO_PEERGROUPS and `Groups` of /proc/PID/status, which must be equal |
 * | `path:/ABSOLUTE` | the target of /proc/PID/exe, in the caller's mount namespace |
 * | `sha256:HEX` | the contents of /proc/PID/exe |
 *
 * If Sidekey may not read the executable (it is not root, and the caller has another uid), the caller has no `path` and
 * no `sha256`. If the executable exceeds the size limit, the attestation fails, as in SPIRE.
 *
 * `path` is determined by the connection's first attestation and does not change while the process runs the same file:
 * a package upgrade that replaces the file does not remove it, and a rename does not change it. If the file was deleted
 * or replaced before the first attestation, there is no `path`. `sha256` is read at each attestation, from the running
 * file, which exists even without a name, because network and FUSE file systems allow changing a running file.
 *
 * If Sidekey's user namespace does not map all ids, all unmapped ids appear as the overflow id, which identifies no
 * one: such a uid fails the attestation, and such a group gives no selector. (So an entry that excludes a group is not
 * safe there.)
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/plugin_agent_workloadattestor_unix.md
 */

import { type Clock, readUnmappedIds, SidekeyError, type UnmappedIds } from '../../base/index.ts';
import { type Log, Rarely } from '../../telemetry/index.ts';
import { type Accounts, createAccounts } from '../accounts.ts';
import type { RunningAttestor } from '../description.ts';
import { createFileHasher, type FileHasher } from '../file-hash.ts';
import { executableLink, readExecutablePath } from '../proc/exe.ts';
import { checkGroupCount } from '../supplementary-groups.ts';
import { furtherFacts } from './further-facts.ts';
import { meant, whyNever } from './why-never.ts';

export interface UnixAttestorOptions {
  readonly log: Log;
  /** Limits log lines; by default the wall clock. */
  readonly clock?: Pick<Clock, 'now'>;
  /** Called at each attestation. Hashing a large binary for the first time delays a secret by a few 100 ms. */
  readonly wantSha256: () => boolean;
  /** False if no entry asks for `unix:path`, so that replaced programs need not be logged. */
  readonly wantPath?: () => boolean;
  readonly accounts?: Accounts;
  readonly hasher?: FileHasher;
  readonly unmapped?: UnmappedIds;
}

/** Minimum interval of log lines about replaced programs, in milliseconds. */
const REPLACED_LOG_MS = 10_000;

export function createUnixAttestor(options: UnixAttestorOptions): RunningAttestor {
  const { log, wantSha256, wantPath = () => true, accounts = createAccounts(), hasher = createFileHasher() } = options;
  const { clock = Date, unmapped = readUnmappedIds() } = options;
  const replacedLines = new Rarely(clock, REPLACED_LOG_MS);

  return {
    name: 'unix',
    async attest(
      { pid, uid, gid, groups, owner, program = { path: undefined, replaced: undefined } },
      everything = false,
      _remark,
      tell,
    ) {
      checkGroupCount(pid, groups.length);
      if (uid === unmapped.uid) throw unmappedUser(pid, uid);
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
      if (program.replaced !== undefined && !everything) logReplaced(pid, uid, program.replaced);
      const sha256 = wantSha256()
        ? await ifAllowed(pid, 'sha256', () => hasher.sha256(executableLink(pid), owner))
        : undefined;
      add(values, 'sha256', sha256);
      tell?.(furtherFacts({ uid, gid, groups, path: program.path, sha256 }, accounts, unmapped));
      return values.map((value) => ({ type: 'unix', value }));
    },
    whyNever: (value) => whyNever(value, accounts, unmapped),
    meant: (value) => meant(value, accounts),
  };

  function logReplaced(pid: number, uid: number, path: string): void {
    if (!wantPath()) return;
    const leftOut = replacedLines.mayTell();
    if (leftOut === undefined) return;
    const line = { pid, uid, path, left_out: leftOut };
    log.warn(line, "the program's file was replaced: restart the program, because it has no unix:path until then");
  }

  async function ifAllowed<T>(pid: number, selector: string, read: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!isForbidden(error)) throw error;
      log.debug({ pid }, `no unix:${selector} selector: Sidekey may not read the executable`);
      return undefined;
    }
  }
}

function unmappedUser(pid: number, uid: number): SidekeyError {
  const message = `the user of process ${pid} is not mapped in Sidekey's user namespace, where all unmapped users appear as ${uid}`;
  return new SidekeyError('ERR_ATTESTATION_FAILED', `${message}; map the user, or run Sidekey outside that namespace`);
}

function add(values: string[], selector: string, value: string | undefined): void {
  if (value !== undefined) values.push(`${selector}:${value}`);
}

function isForbidden(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
}
