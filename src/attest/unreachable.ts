/** Users whose processes can't connect to the pipe, as far as their accounts and their running processes tell. */

import fs from 'node:fs';
import { accountOf, readable, Slices } from '../base/index.ts';
import { readStatus } from './proc/status.ts';
import { createReach, type Reach, reachOfUser } from './reach.ts';

export interface UnreachableUser {
  readonly uid: number;
  /** A running process of that user; undefined: none runs, and its account was looked at. */
  readonly pid: number | undefined;
  readonly detail: string;
  readonly fix: string;
  readonly command: string | undefined;
}

export interface UnreachableUsers {
  readonly users: readonly UnreachableUser[];
  /** Why not all users were looked at; undefined if all were. */
  readonly unfinished: string | undefined;
}

/** The most processes of one user that are looked at, and of all users. */
const MAX_OF_USER = 20;
const MAX_PROCESSES = 20_000;
/** Maximum duration of the search of one user's processes, and of the whole search, in milliseconds. */
const MAX_OF_USER_MS = 250;
const MAX_MS = 3_000;

/**
 * Those of these users of whom no process can connect to the socket. Processes in other mount namespaces or with
 * another
 * root directory are left out: a container that has nothing to do with Sidekey need not see its socket.
 *
 * Users decide how many processes there are and how long each takes, so the search has limits of time.
 */
export async function unreachableUsers(uids: ReadonlySet<number>, socket: string): Promise<UnreachableUsers> {
  // Root passes every mode.
  const asked = [...uids].filter((uid) => uid !== 0);
  const users: UnreachableUser[] = [];
  if (asked.length === 0) return { users, unfinished: undefined };
  const search = new Search();
  const running = await processesOf(new Set(asked), search);
  const reachOf = createReach(socket);
  for (const uid of asked) {
    if (search.isLate) break;
    const found = await reachOfOne(running.get(uid) ?? [], reachOf, search);
    if (found === 'yes') continue;
    const account = found === undefined ? accountOf(uid) : undefined;
    const reach = found?.reach ?? (account && reachOfUser({ uid, ...account }, socket));
    if (reach === undefined || !isDenied(reach)) continue;
    users.push({ uid, pid: found?.pid, detail: reach.detail, fix: reach.fix!, command: reach.command });
  }
  return { users, unfinished: search.isLate ? `the search was stopped after ${MAX_MS / 1_000} s` : undefined };
}

/** `yes` if one of the processes can connect, else one that is denied it; undefined if there is none. */
async function reachOfOne(
  pids: readonly number[],
  reachOf: (pid: number) => Reach,
  search: Search,
): Promise<'yes' | { pid: number; reach: Reach } | undefined> {
  const end = performance.now() + MAX_OF_USER_MS;
  let denied: { pid: number; reach: Reach } | undefined;
  for (const pid of pids) {
    const reach = reachOf(pid);
    if (reach.verdict === 'yes') return 'yes';
    if (denied === undefined && isDenied(reach)) denied = { pid, reach };
    await search.next();
    if (performance.now() >= end || search.isLate) break;
  }
  return denied;
}

/** A long search in slices, with a time limit. */
class Search {
  readonly #late = performance.now() + MAX_MS;
  readonly #slices = new Slices();

  /** True once the time limit of the search is over. */
  get isLate(): boolean {
    return performance.now() >= this.#late;
  }

  async next(): Promise<void> {
    if (this.#slices.isOver()) await this.#slices.next();
  }
}

/** By the modes of the socket and its directories. */
function isDenied({ verdict, seenAs, fix }: Reach): boolean {
  return verdict === 'no' && seenAs !== undefined && fix !== undefined;
}

async function processesOf(uids: ReadonlySet<number>, search: Search): Promise<Map<number, number[]>> {
  const found = new Map<number, number[]>();
  let left = MAX_PROCESSES;
  for (const name of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    left -= 1;
    if (left < 0 || search.isLate) break;
    const uid = readable(() => readStatus(Number(name)).uid);
    if (uid !== undefined && uids.has(uid)) {
      const pids = found.get(uid) ?? [];
      if (pids.length < MAX_OF_USER) found.set(uid, [...pids, Number(name)]);
    }
    await search.next();
  }
  return found;
}
