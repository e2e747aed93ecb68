/** Users whose processes can't connect to the pipe, as far as their accounts and their running processes tell. */

import fs from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { accountOf } from '../base/groups.ts';
import { readable } from '../base/proc/text.ts';
import { readStatus } from './proc/status.ts';
import { type Reach, reachOf, reachOfUser } from './reach.ts';

export interface UnreachableUser {
  readonly uid: number;
  /** A running process of that user; undefined: none runs, and its account was looked at. */
  readonly pid: number | undefined;
  readonly detail: string;
  readonly fix: string;
  readonly command: string | undefined;
}

/** The most processes of one user that are looked at, and of all users. */
const MAX_OF_USER = 20;
const MAX_PROCESSES = 20_000;
/** Maximum duration of a slice of the search, in milliseconds. */
const SLICE_MS = 5;

/**
 * Those of these users of whom no process can connect to the socket. Processes in other mount namespaces or with another
 * root directory are left out: a container that has nothing to do with Sidekey need not see its socket.
 */
export async function unreachableUsers(uids: ReadonlySet<number>, socket: string): Promise<UnreachableUser[]> {
  // Root passes every mode.
  const asked = [...uids].filter((uid) => uid !== 0);
  if (asked.length === 0) return [];
  const running = await processesOf(new Set(asked));
  const found: UnreachableUser[] = [];
  for (const uid of asked) {
    const reaches = (running.get(uid) ?? []).map((pid) => ({ pid, reach: reachOf(pid, socket) }));
    if (reaches.some(({ reach }) => reach.verdict === 'yes')) continue;
    const denied = reaches.find(({ reach }) => isDenied(reach));
    const account = denied === undefined ? accountOf(uid) : undefined;
    const reach = denied?.reach ?? (account && reachOfUser({ uid, ...account }, socket));
    if (reach === undefined || !isDenied(reach)) continue;
    found.push({ uid, pid: denied?.pid, detail: reach.detail, fix: reach.fix!, command: reach.command });
  }
  return found;
}

/** By the modes of the socket and its directories. */
function isDenied({ verdict, seenAs, fix }: Reach): boolean {
  return verdict === 'no' && seenAs !== undefined && fix !== undefined;
}

async function processesOf(uids: ReadonlySet<number>): Promise<Map<number, number[]>> {
  const found = new Map<number, number[]>();
  let left = MAX_PROCESSES;
  let end = performance.now() + SLICE_MS;
  for (const name of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    left -= 1;
    if (left < 0) break;
    const uid = readable(() => readStatus(Number(name)).uid);
    if (uid !== undefined && uids.has(uid)) {
      const pids = found.get(uid) ?? [];
      if (pids.length < MAX_OF_USER) found.set(uid, [...pids, Number(name)]);
    }
    if (performance.now() < end) continue;
    await turn();
    end = performance.now() + SLICE_MS;
  }
  return found;
}
