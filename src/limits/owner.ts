/**
 * Owners: the users and containers that limits count for.
 *
 * A uid alone would be the wrong unit: one user with a range in /etc/subuid has 65,536 of them, and root in a container
 * can take any. So a caller in a container that the host's root made is counted for its container, and every other caller
 * for the user that owns its uid. Callers in containers are counted for that user too, with a larger share
 * ({@link CONTAINERS_SHARE}): a user who may name cgroups could otherwise make one container after another.
 */

import { Fifo } from '../base/fifo.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { LoopTime } from './loop-time.ts';
import { Readers } from './readers.ts';

/** How many times its own limits a user may use in all containers together. */
export const CONTAINERS_SHARE = 4;

/** Something that keeps memory for a caller: a call. */
export interface Holder {
  readonly owner: Owner;
  /** Ends it, with this reason, and gives back all that it was charged. */
  shed(reason: string): void;
}

/** The place that one connection takes. */
export interface ConnectionPlace {
  /** Closes the connection, to give the place to an owner that has fewer. Set once the connection is accepted. */
  evict: () => void;
}

/** What one user or container uses now. */
export class Account {
  /** For messages: `uid 1000`. */
  readonly name: string;
  /** How many times each limit it may use. */
  readonly share: number;
  /** In the order in which they were opened. */
  readonly connections = new Set<ConnectionPlace>();
  readonly readers = new Readers();
  /** HTTP/2 streams, from their headers to their end. */
  streams = 0;
  calls = 0;
  /** Bytes of memory that are kept for it. */
  heldBytes = 0;
  /** What keeps them, and how many each. */
  readonly holders = new Map<Holder, number>();
  readonly requests = new TokenBucket(Number.POSITIVE_INFINITY);
  readonly connects = new TokenBucket(Number.POSITIVE_INFINITY);
  /** Decisions that are put on record. */
  readonly decisions = new TokenBucket(Number.POSITIVE_INFINITY);
  /** Work that waits for its turn, and the time that its work took; see `turns.ts`. */
  readonly waitingWork = new Fifo<() => void>();
  readonly time = new LoopTime();
  /** It is in the line of owners with work that waits, or being served. */
  inLine = false;

  constructor(name: string, share = 1) {
    this.name = name;
    this.share = share;
  }

  get isIdle(): boolean {
    return this.connections.size === 0 && this.streams === 0 && this.heldBytes === 0 && this.waitingWork.length === 0;
  }
}

/** The user or container that a caller's use is counted for. */
export interface Owner {
  /** `uid 1000` or `container 4f2c…`. */
  readonly name: string;
  /** The owner's own account first: it takes turns. */
  readonly accounts: readonly [Account, ...Account[]];
}

/** With more accounts than this, idle ones are forgotten. */
const REMEMBERED = 1_000;

export class Owners {
  readonly #accounts = new Map<string, Account>();

  /** Every account that is remembered. */
  accounts(): Iterable<Account> {
    return this.#accounts.values();
  }

  /** @param user the uid that owns the caller's uid */
  user(user: number): Owner {
    const name = `uid ${user}`;
    return { name, accounts: [this.#account(name)] };
  }

  /** @param container the container's cgroup path, or whatever else names it for good */
  container(container: string, user: number): Owner {
    const name = `container ${container}`;
    return { name, accounts: [this.#account(name), this.#account(`the containers of uid ${user}`, CONTAINERS_SHARE)] };
  }

  #account(name: string, share = 1): Account {
    let account = this.#accounts.get(name);
    if (account === undefined) {
      if (this.#accounts.size >= REMEMBERED) this.#forgetIdle();
      account = new Account(name, share);
      this.#accounts.set(name, account);
    }
    return account;
  }

  /**
   * An owner that comes back has full token buckets again: no more than a new owner has, and owners can't be made at will.
   */
  #forgetIdle(): void {
    for (const [name, account] of this.#accounts) if (account.isIdle) this.#accounts.delete(name);
  }
}
