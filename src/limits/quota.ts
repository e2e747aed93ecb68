/**
 * How many connections, streams, calls and requests one owner may have. (The limits are named for uids, as their settings are:
 * an owner is a user, whom several uids may belong to, or a container.) For the memory of the server see memory.ts.
 */

import type { Counters } from '../telemetry/counters.ts';
import { LimitError } from './limit-error.ts';
import type { Account, ConnectionPlace, Owner } from './owner.ts';

export interface QuotaLimits {
  /** Connections on the pipe that one owner may hold. */
  readonly connectionsPerUid: number;
  /** Connections on the pipe that one owner may open a second; a burst may open `connectionsPerUid`. */
  readonly connectsPerSecondPerUid: number;
  /** Connections on the pipe that all together may hold. */
  readonly connections: number;
  /** Calls that one owner may have open at a time. */
  readonly callsPerUid: number;
  /**
   * Extra HTTP/2 streams per owner, for refused calls whose client has not read the refusal yet. Beyond them a stream is
   * closed without a status.
   */
  readonly refusedStreamsPerUid: number;
  /** Requests that one owner may send a second; a burst may use up one second's worth. */
  readonly requestsPerSecondPerUid: number;
}

/** How much of a limit an owner uses. */
export interface Use {
  /** The owner's name. */
  readonly owner: string;
  readonly used: number;
  readonly limit: number;
}

/** Why there is no connection, in words. */
export type Refusal = () => string;

export const QUOTA_LIMITS: QuotaLimits = {
  connectionsPerUid: 2_000,
  connectsPerSecondPerUid: 500,
  connections: 16_000,
  callsPerUid: 20_000,
  refusedStreamsPerUid: 1_000,
  requestsPerSecondPerUid: 20_000,
};

export class Quota {
  readonly #limits: QuotaLimits;
  readonly #counters: Counters;
  /** Every connection that is open, and whose it is. */
  readonly #places = new Map<ConnectionPlace, Owner['accounts']>();
  /** The accounts of those owners. */
  readonly #connected = new Set<Account>();

  constructor(limits: QuotaLimits, counters: Counters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  /**
   * Takes a place for a connection. Where there is none, returns a function that names the limit: an error with its stack,
   * or a text that is not logged, would cost as much as the rest of a refusal. Where all places are taken, the newest
   * connection of the owner with most of them is closed, unless this owner has as many.
   * @param now milliseconds since the epoch
   */
  openConnection({ accounts }: Owner, now: number): ConnectionPlace | Refusal {
    const { connectionsPerUid, connectsPerSecondPerUid, connections } = this.#limits;
    for (const { name, connections: held, share } of accounts) {
      const most = connectionsPerUid * share;
      if (held.size < most) continue;
      return this.#refuseConnection(() => `${name} holds ${most} connections, the most it may (maxConnectionsPerUid)`);
    }
    for (const { name, connects, share } of accounts) {
      const perSecond = connectsPerSecondPerUid * share;
      if (connects.take(Math.max(connectionsPerUid * share, perSecond), perSecond, now)) continue;
      return this.#refuseConnection(
        () => `${name} opens more than ${perSecond} connections a second, the most it may (connectsPerSecondPerUid)`,
      );
    }
    // Last: it may close a connection, and is the one part whose cost grows with the number of connections.
    if (this.#places.size >= connections && !this.#makeRoom(accounts)) {
      this.#counters.add('connections_without_descriptors_total');
      return this.#refuseConnection(
        () =>
          `all callers together hold ${connections} connections, the most they may (by RLIMIT_NOFILE, ulimit -n), and ${accounts[0].name} as many as any`,
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

  /** Gives the place back; a no-op for one that was evicted. */
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
   * Evicts a connection of the owner that holds most, or of the containers of one user where these together hold most for
   * their share, if that is more than the asking one would; false where it is not.
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
    newest!.evict();
    return true;
  }

  /**
   * Takes a place for an HTTP/2 stream, which has one from its headers to its very end, whatever becomes of its call;
   * false where too many have.
   */
  openStream({ accounts }: Owner): boolean {
    const most = this.#limits.callsPerUid + this.#limits.refusedStreamsPerUid;
    for (const { streams, share } of accounts) if (streams >= most * share) return false;
    for (const account of accounts) account.streams += 1;
    return true;
  }

  closeStream({ accounts }: Owner): void {
    for (const account of accounts) account.streams -= 1;
  }

  /** Takes a place for a call. @throws LimitError naming the limit */
  open({ accounts }: Owner): void {
    for (const { name, calls, share } of accounts) {
      const most = this.#limits.callsPerUid * share;
      if (calls >= most)
        throw this.#refuse(
          'streams_refused_total',
          `${name} has ${most} streams open, the most it may (maxStreamsPerUid)`,
        );
    }
    for (const account of accounts) account.calls += 1;
  }

  close({ accounts }: Owner): void {
    for (const account of accounts) account.calls -= 1;
  }

  /** Counts a request; `now` in milliseconds since the epoch. @throws LimitError naming the limit */
  request({ accounts }: Owner, now: number): void {
    for (const { name, requests, share } of accounts) {
      const most = this.#limits.requestsPerSecondPerUid * share;
      if (!requests.take(most, most, now)) {
        throw this.#refuse(
          'requests_refused_total',
          `${name} sends more than ${most} requests a second, the most it may (maxRequestsPerSecondPerUid)`,
        );
      }
    }
  }

  /** The use of the owner that is nearest to each limit; undefined where no owner uses any of it. @param accounts all that there are */
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

  #refuseConnection(reason: Refusal): Refusal {
    this.#counters.add('connections_refused_total');
    return reason;
  }

  #refuse(counter: 'streams_refused_total' | 'requests_refused_total', message: string): LimitError {
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
