/**
 * Owners: the users and containers to which limits apply.
 *
 * A uid is not a suitable unit: a user with a range in /etc/subuid has 65,536 uids, and root in a container can take
 * any. So a caller in a container that the host's root created counts for the container, and any other caller for the
 * user that owns its uid. A caller in a container also counts for that user, with a larger limit (CONTAINERS_SHARE),
 * because a user who may create cgroups could imitate many containers. Callers of root are exempt from this: root need not
 * imitate containers.
 */

import { Fifo, TokenBucket } from '../base/index.ts';
import { LoopTime } from './loop-time.ts';
import { Readers } from './readers.ts';

/** The factor by which the limits of all containers of a user exceed those of one owner. */
export const CONTAINERS_SHARE = 4;
/** The factor by which the limits of all strangers of the network exceed those of one. */
const STRANGERS_SHARE = 4;

/** An object that has memory charged to an owner: a call. */
export interface MemoryHolder {
  readonly owner: Owner;
  /** Ends it with this reason and returns its whole charge. */
  shed(reason: string): void;
}

/** The place of one connection. */
export interface ConnectionPlace {
  /** Closes the connection to make room for an owner with fewer. Set once the connection is accepted. */
  evict: () => void;
}

/** The current use of one user or container. */
export class Account {
  /** Name for messages: `uid 1000`. */
  readonly name: string;
  /** The factor for all its limits. */
  readonly share: number;
  /** Oldest first. */
  readonly connections = new Set<ConnectionPlace>();
  readonly readers = new Readers();
  /** HTTP/2 streams, counted from their headers to their close. */
  streams = 0;
  calls = 0;
  /** Memory charged to it, in bytes. */
  heldBytes = 0;
  /** The charge of each holder, in bytes. */
  readonly holders = new Map<MemoryHolder, number>();
  readonly requests = new TokenBucket(Number.POSITIVE_INFINITY);
  readonly connects = new TokenBucket(Number.POSITIVE_INFINITY);
  /** Limits the rate of recorded decisions. */
  readonly decisions = new TokenBucket(Number.POSITIVE_INFINITY);
  /** Work that waits for the owner's turn; see `turns.ts`. */
  readonly waitingWork = new Fifo<() => void>();
  /** The time used by the account's work or, for a group, by its members' work. Not used for a member of a group. */
  readonly time = new LoopTime();
  /** True while the account is queued because of waiting work, or being served. */
  inLine = false;
  /** The account with which it shares turns: that of all containers of the user who started its first caller. */
  readonly group: Account | undefined;
  /** Members of this group with waiting work, or this account itself; the one that has waited longest comes first. */
  readonly line = new Fifo<Account>();

  constructor(name: string, share = 1, group?: Account) {
    this.name = name;
    this.share = share;
    this.group = group;
  }

  get isIdle(): boolean {
    const hasWork = this.waitingWork.length > 0 || this.line.length > 0;
    return this.connections.size === 0 && this.streams === 0 && this.heldBytes === 0 && !hasWork;
  }
}

/** The user or container to which a caller's use is charged. */
export interface Owner {
  /** `uid 1000` or `container 4f2c…`. */
  readonly name: string;
  /** The owner's own account comes first; it is the one that takes turns. */
  readonly accounts: readonly [Account, ...Account[]];
}

const ROOT = 0;

/** Above this number idle accounts are forgotten. */
const REMEMBERED = 1_000;

export class Owners {
  readonly #accounts = new Map<string, Account>();

  /** All remembered accounts. */
  accounts(): Iterable<Account> {
    return this.#accounts.values();
  }

  /** @param user the uid that owns the caller's uid */
  user(user: number): Owner {
    const name = `uid ${user}`;
    return { name, accounts: [this.#account(name)] };
  }

  /** @param container the container's cgroup path, or another permanent name */
  container(container: string, user: number): Owner {
    const name = `container ${container}`;
    // Containers of root are real ones: only root can create a cgroup there.
    if (user === ROOT) return { name, accounts: [this.#account(name)] };
    const group = this.#account(`the containers of uid ${user}`, CONTAINERS_SHARE);
    return { name, accounts: [this.#account(name, 1, group), group] };
  }

  /**
   * A caller of the network. Strangers also count together, and share their turns, since one host may have many addresses.
   * @param name an agent, or an address
   */
  remote(name: string, isStranger: boolean): Owner {
    if (!isStranger) return { name, accounts: [this.#account(name)] };
    const group = this.#account('all clients without an SVID', STRANGERS_SHARE);
    return { name, accounts: [this.#account(name, 1, group), group] };
  }

  #account(name: string, share = 1, group?: Account): Account {
    let account = this.#accounts.get(name);
    if (account === undefined) {
      if (this.#accounts.size >= REMEMBERED) this.#forgetIdle();
      account = new Account(name, share, group);
      this.#accounts.set(name, account);
    }
    return account;
  }

  /**
   * Forgets idle accounts. An account that returns gets full token buckets, like a new one. That is harmless, because
   * callers cannot create owners at will.
   */
  #forgetIdle(): void {
    for (const [name, account] of this.#accounts) if (account.isIdle) this.#accounts.delete(name);
  }
}
