/**
 * The unix attestor: what the kernel says of a process. Selectors, with SPIRE's names:
 *
 * | selector | from |
 * |---|---|
 * | `uid:N` `gid:N` | SO_PEERCRED: effective, at connect |
 * | `user:NAME` `group:NAME` | the names of those in this machine's passwd and group files |
 * | `supplementary_gid:N` `supplementary_group:NAME` | `Groups` of /proc/PID/status |
 * | `path:/ABSOLUTE` | where /proc/PID/exe points, in the caller's own mount namespace |
 * | `sha256:HEX` | the contents of /proc/PID/exe |
 *
 * `path` and `sha256` are left out where this process may not look at the executable (it is not root, and the caller
 * has another uid) and `path` where the executable was deleted or replaced: what is not known can't match. An
 * executable beyond the size limit fails the attestation, as in SPIRE.
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/plugin_agent_workloadattestor_unix.md
 */

import type { Log } from '../telemetry/log.ts';
import { type Accounts, createAccounts } from './accounts.ts';
import { createFileHasher, type FileHasher } from './file-hash.ts';
import { executableLink, readExecutablePath } from './proc/exe.ts';
import type { Attestor } from './types.ts';

export interface UnixAttestorOptions {
  readonly log: Log;
  /** Asked at each attestation: hashing a large binary for the first time delays a secret by a few 100 ms. */
  readonly wantSha256: () => boolean;
  readonly accounts?: Accounts;
  readonly hasher?: FileHasher;
}

export function createUnixAttestor(options: UnixAttestorOptions): Attestor {
  const { log, wantSha256, accounts = createAccounts(), hasher = createFileHasher() } = options;

  return {
    name: 'unix',
    async attest({ pid, uid, gid, groups }) {
      const values = [`uid:${uid}`, `gid:${gid}`];
      add(values, 'user', accounts.user(uid));
      add(values, 'group', accounts.group(gid));
      for (const id of groups) {
        values.push(`supplementary_gid:${id}`);
        add(values, 'supplementary_group', accounts.group(id));
      }
      add(values, 'path', await ifAllowed(pid, 'path', () => readExecutablePath(pid)));
      if (wantSha256()) add(values, 'sha256', await ifAllowed(pid, 'sha256', () => hasher.sha256(executableLink(pid))));
      return values.map((value) => ({ type: 'unix', value }));
    },
  };

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

function add(values: string[], selector: string, value: string | undefined): void {
  if (value !== undefined) values.push(`${selector}:${value}`);
}

function isForbidden(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
}
