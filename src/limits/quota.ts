/**
 * Limits the connections, streams, calls and requests of each owner. The names of the limits say uid, as their settings
 * do, but they apply to owners: a user (perhaps with several uids) or a container. Memory is limited in memory.ts.
 */

import type { Counters, LimitName } from '../telemetry/index.ts';
import { LimitError } from './limit-error.ts';
import type { Account, ConnectionPlace, Owner } from './owner.ts';

export interface QuotaLimits {
  /** Maximum number of connections of one owner on the agent socket. */
  readonly connectionsPerUid: number;
  /** Maximum rate of new connections of one owner; a burst may open `connectionsPerUid`. */
  readonly connectsPerSecondPerUid: number;
  /** Maximum number of connections of all owners on the agent socket. */
  readonly connections: number;
  /** Maximum number of open calls of one owner. */
  readonly callsPerUid: number;
  /**
   * Extra HTTP/2 streams per owner, for refused calls whose client has not read the refusal yet. Beyond them a stream is
   * closed without a status.
   */
  readonly refusedStreamsPerUid: number;
  /** Maximum rate of requests of one owner; a burst may use up one second's worth. */
  readonly requestsPerSecondPerUid: number;
}

/** An owner's use of a limit. */
export interface Use {
  /** The owner's name. */
  readonly owner: string;
  readonly used: number;
  readonly limit: number;
}

/** Returns the reason why a connection is refused. */
export type WhyRefused = () => string;

/** The limits without a setting. The others have their defaults in `config/settings.ts`. */
export const FIXED_LIMITS: Pick<QuotaLimits, 'connectsPerSecondPerUid' | 'refusedStreamsPerUid'> = {
  connectsPerSecondPerUid: 500,
  refusedStreamsPerUid: 1_000,
};

export class Quota {
  readonly #limits: QuotaLimits;
  readonly #counters: Counters;
  /** The owner's accounts for each open connection. */
  readonly #places = new Map<ConnectionPlace, Owner['accounts']>();
  /** The accounts with an open connection. */
  readonly #connected = new Set<Account>();

  constructor(limits: QuotaLimits, counters: Counters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  /**
   * Takes a place for a connection. If there is none, returns a function that describes the limit; building an error or
   * an unused text would double the cost of a refusal. If all places are taken, the newest connection of the owner with
   * the most connections is closed, unless this owner has as many.
   * @param now milliseconds since the epoch
   */
  openConnection({ accounts }: Owner, now: number): ConnectionPlace | WhyRefused {
    const { connectionsPerUid, connectsPerSecondPerUid, connections } = this.#limits;
    for (const { name, connections: held, share } of accounts) {
      const most = connectionsPerUid * share;
      if (held.size < most) continue;
      return this.#refuseConnection(
        'maxConnectionsPerUid',
        () => `${name} has ${most} connections open, which is its limit (maxConnectionsPerUid)`,
      );
    }
    for (const { name, connects, share } of accounts) {
      const perSecond = connectsPerSecondPerUid * share;
      if (connects.take(Math.max(connectionsPerUid * share, perSecond), perSecond, now)) continue;
      return this.#refuseConnection(
        'connectsPerSecondPerUid',
        () => `${name} exceeds its limit of ${perSecond} new connections per second (connectsPerSecondPerUid)`,
      );
    }
    // Comes last, because it may close a connection, and its cost grows with the number of connections.
    if (this.#places.size >= connections && !this.#makeRoom(accounts)) {
      this.#counters.add('connections_without_descriptors_total');
      return this.#refuseConnection(
        'connections',
        () =>
          `all callers together have ${connections} connections open, which is the limit (from RLIMIT_NOFILE, ulimit -n), and ${accounts[0].name} has as many as any other`,
      );
    }
    this.#counters.add('connections_accepted_total');
    const place: ConnectionPlace = { evict: () => undefined };
    this.#places.set(place, accounts);
    for (const account of accounts) {
      account.connections.add(place);
      this.#connected.add(account);
    }
    return place;
  }

  /** Returns the place; a no-op for an evicted connection. */
  closeConnection(place: ConnectionPlace): void {
    const accounts = this.#places.get(place);
    if (accounts === undefined) return;
    for (const account of accounts) {
      account.connections.delete(place);
      if (account.connections.size === 0) this.#connected.delete(account);
    }
    this.#places.delete(place);
  }

  /**
   * Evicts the newest connection of the account (an owner, or all containers of one user) with the most connections per
   * share. Returns false if the asking owner, with one more connection, would have as many.
   */
  #makeRoom(asking: Owner['accounts']): boolean {
    let [largest, most] = [asking[0], Math.max(...asking.map(heldForShare))];
    const own = most;
    for (const account of this.#connected) {
      const held = heldForShare(account);
      if (held > most) [largest, most] = [account, held];
    }
    if (most <= own + 1) return false;
    let newest: ConnectionPlace | undefined;
    for (const place of largest.connections) newest = place;
    this.closeConnection(newest!);
    this.#counters.add('connections_evicted_total');
    this.hit('connections');
    newest!.evict();
    return true;
  }

  /**
   * Takes a place for an HTTP/2 stream, from its headers to its close, whatever happens to its call. Returns false if
   * there is none.
   */
  openStream({ accounts }: Owner): boolean {
    const most = this.#limits.callsPerUid + this.#limits.refusedStreamsPerUid;
    for (const { streams, share } of accounts) {
      if (streams < most * share) continue;
      this.hit('refusedStreamsPerUid');
      return false;
    }
    for (const account of accounts) account.streams += 1;
    return true;
  }

  closeStream({ accounts }: Owner): void {
    for (const account of accounts) account.streams -= 1;
  }

  /** Takes a place for a call. @throws LimitError */
  open({ accounts }: Owner): void {
    for (const { name, calls, share } of accounts) {
      const most = this.#limits.callsPerUid * share;
      if (calls >= most)
        throw this.#refuse(
          'streams_refused_total',
          'maxStreamsPerUid',
          `${name} has ${most} streams open, which is its limit (maxStreamsPerUid)`,
        );
    }
    for (const account of accounts) account.calls += 1;
  }

  close({ accounts }: Owner): void {
    for (const account of accounts) account.calls -= 1;
  }

  /** Counts a request; `now` in milliseconds since the epoch. @throws LimitError */
  request({ accounts }: Owner, now: number): void {
    for (const { name, requests, share } of accounts) {
      const most = this.#limits.requestsPerSecondPerUid * share;
      if (!requests.take(most, most, now)) {
        throw this.#refuse(
          'requests_refused_total',
          'maxRequestsPerSecondPerUid',
          `${name} exceeds its limit of ${most} requests per second (maxRequestsPerSecondPerUid)`,
        );
      }
    }
  }

  /**
   * For each limit, the use of the owner that is nearest to it; undefined if no owner uses any.
   * @param accounts all accounts
   */
  nearest(accounts: Iterable<Account>): { readonly connections: Use | undefined; readonly calls: Use | undefined } {
    const { connectionsPerUid, callsPerUid } = this.#limits;
    let connections: Use | undefined;
    let calls: Use | undefined;
    for (const { name: owner, share, connections: held, calls: open } of accounts) {
      connections = nearer(connections, { owner, used: held.size, limit: connectionsPerUid * share });
      calls = nearer(calls, { owner, used: open, limit: callsPerUid * share });
    }
    return { connections, calls };
  }

  /** Counts that a limit was reached, also one of the wire. */
  hit(limit: LimitName): void {
    this.#counters.limits.add(limit);
  }

  #refuseConnection(limit: LimitName, reason: WhyRefused): WhyRefused {
    this.hit(limit);
    this.#counters.add('connections_refused_total');
    return reason;
  }

  #refuse(counter: 'streams_refused_total' | 'requests_refused_total', limit: LimitName, message: string): LimitError {
    this.hit(limit);
    this.#counters.add(counter);
    return new LimitError(message);
  }
}

function heldForShare({ connections, share }: Account): number {
  return connections.size / share;
}

function nearer(one: Use | undefined, other: Use): Use | undefined {
  return other.used / other.limit > (one === undefined ? 0 : one.used / one.limit) ? other : one;
}
