/**
 * Defers the requests of connections while pushes wait for their turn: reading a client's ACK takes about as long as a push,
 * since Envoy's requests are large ([why](../../docs/decisions/deferred-requests.md)). While streams still wait for their
 * push, the connections that were already served are deferred. Once no stream waits, they are resumed a few per turn of the
 * event loop. Under continuous change, connections that were deferred for longer than LATE_MS are resumed as fast as new
 * ones are deferred, so that none starves.
 */

import { Fifo } from '../base/index.ts';
import type { StreamConnection } from '../wire/index.ts';

/**
 * How long a connection stays deferred under continuous change, in milliseconds: longer than one change takes to reach
 * ten thousand streams.
 */
const LATE_MS = 1_000;
/** The minimum number of connections resumed in a turn of the event loop. */
const AT_ONCE = 8;

/** A deferred connection, and since when, in milliseconds. */
interface Deferred {
  readonly connection: StreamConnection;
  readonly since: number;
}

export class PushFlow {
  readonly #connections = new Set<StreamConnection>();
  /** The longest deferred first. */
  readonly #order = new Fifo<Deferred>();

  /**
   * To call after each slice of pushes, until it returns false: then no connection is deferred.
   * @param sentTo the connections to which the slice has sent something
   * @param areWaiting whether streams still wait for their push
   * @param now when the slice began, in milliseconds of a clock that only advances
   */
  after(sentTo: ReadonlySet<StreamConnection>, areWaiting: boolean, now: number): boolean {
    if (areWaiting) {
      for (const connection of sentTo) this.#defer(connection, now);
      this.#resume(Math.max(AT_ONCE, sentTo.size), now - LATE_MS);
    } else this.#resume(AT_ONCE, now);
    return this.#order.length > 0;
  }

  #defer(connection: StreamConnection, now: number): void {
    if (this.#connections.has(connection)) return;
    this.#connections.add(connection);
    connection.defer();
    this.#order.push({ connection, since: now });
  }

  /** Resumes up to `count` of the connections that were deferred at `by` or earlier. */
  #resume(count: number, by: number): void {
    for (let i = 0; i < count; i += 1) {
      const first = this.#order.first;
      if (first === undefined || first.since > by) return;
      this.#order.shift();
      this.#connections.delete(first.connection);
      first.connection.resume();
    }
  }
}
