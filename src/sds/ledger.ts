/**
 * The ledger: what each proxy asks for, was sent, and made of it. It is a view: each stream keeps what it knows of its
 * own names, and nothing is stored twice; so it is as large as what the streams ask for, which is limited.
 */

import type { Peer } from '../attest/types.ts';
import type { Clock, Deadline } from '../base/clock.ts';
import { Listeners } from '../base/listeners.ts';
import type { Log } from '../telemetry/log.ts';
import type { Node } from './node.ts';
import type { StreamEvent } from './stream-event.ts';
import type { StreamReport } from './stream-report.ts';

/**
 * A proxy that rejects everything does so stream by stream, and each time all of them are looked at: how long the next
 * look waits, in milliseconds. Nothing is issued anew so soon.
 */
const LOOK_AGAIN_MS = 200;

/** One connection, which the streams of a proxy share; it lives on while it is looked at. */
export interface Connection {
  /** Rises in the order of {@link Ledger.connections}; like no other's since the start. */
  readonly number: number;
  readonly peer: Peer;
  /** The caller's facts as `type:value`; values of environment selectors are left out. */
  readonly selectors: readonly string[];
  /** Undefined before the first request, or where none has one. */
  readonly node: Node | undefined;
  /** Oldest first. */
  readonly streams: Iterable<LedgerStream>;
}

/** A stream, as the ledger sees it. */
export interface LedgerStream {
  readonly peer: Peer;
  readonly selectors: readonly string[];
  readonly node: Node | undefined;
  report(now: number): StreamReport;
  /** The entries whose certificates the client was sent. */
  sentEntries(): Iterable<string>;
  /** How many of its names stand for nothing at all. */
  readonly unknownNames: number;
}

class OpenConnection implements Connection {
  readonly number: number;
  readonly peer: Peer;
  readonly streams = new Set<LedgerStream>();
  /** Those on which a bundle was rejected since the proxy last took a certificate, and the way to send it once more. */
  readonly rejecting = new Map<LedgerStream, () => void>();
  /** Until when the entries are not looked at again, and whether they are to be then. */
  #pause: Deadline | undefined;
  #lookAgain = false;

  constructor(number: number, peer: Peer) {
    this.number = number;
    this.peer = peer;
  }

  get selectors(): readonly string[] {
    for (const stream of this.streams) return stream.selectors;
    return [];
  }

  get node(): Node | undefined {
    for (const { node } of this.streams) if (node !== undefined) return node;
    return undefined;
  }

  tellEntries(clock: Clock, told: (entryId: string) => void): void {
    if (this.#pause !== undefined) {
      this.#lookAgain = true;
      return;
    }
    this.#lookAgain = false;
    for (const id of this.#entries()) told(id);
    this.#pause = clock.after(LOOK_AGAIN_MS, () => {
      this.#pause = undefined;
      if (this.#lookAgain) this.tellEntries(clock, told);
    });
  }

  end(): void {
    this.#pause?.cancel();
  }

  #entries(): Set<string> {
    const entries = new Set<string>();
    for (const stream of this.streams) for (const id of stream.sentEntries()) entries.add(id);
    return entries;
  }
}

export class Ledger {
  readonly #byPeer = new Map<Peer, OpenConnection>();
  readonly #listeners: Listeners<StreamEvent>;
  #connections = 0;

  constructor(log: Log) {
    this.#listeners = new Listeners((err) => log.error({ err }, 'a listener of stream events failed'));
  }

  open(stream: LedgerStream): void {
    let connection = this.#byPeer.get(stream.peer);
    if (connection === undefined) {
      this.#connections += 1;
      connection = new OpenConnection(this.#connections, stream.peer);
      this.#byPeer.set(stream.peer, connection);
    }
    connection.streams.add(stream);
  }

  close(stream: LedgerStream): void {
    const connection = this.#byPeer.get(stream.peer);
    connection?.streams.delete(stream);
    connection?.rejecting.delete(stream);
    if (connection?.streams.size !== 0) return;
    connection.end();
    this.#byPeer.delete(stream.peer);
  }

  /** The proxy has rejected a bundle on this stream: to be sent once more when it takes a certificate. */
  bundleRejected(stream: LedgerStream, retry: () => void): void {
    this.#byPeer.get(stream.peer)?.rejecting.set(stream, retry);
  }

  /** The proxy on this connection has taken a certificate: it may take now what it has rejected because of another one. */
  certificateTaken(peer: Peer): void {
    const rejecting = this.#byPeer.get(peer)?.rejecting;
    if (rejecting === undefined || rejecting.size === 0) return;
    const retries = [...rejecting.values()];
    rejecting.clear();
    for (const retry of retries) retry();
  }

  /**
   * Every connection with an open stream, in the order in which they were first opened, after the one of this number.
   * May be read bit by bit: what comes and goes meanwhile is told or not.
   */
  *connections(after = 0): Iterable<Connection> {
    for (const connection of this.#byPeer.values()) if (connection.number > after) yield connection;
  }

  /**
   * The proxy on this connection has rejected something: `told` is given the entries whose certificates it has, now, or a
   * moment later where it was given them a moment ago.
   */
  rejected(peer: Peer, clock: Clock, told: (entryId: string) => void): void {
    this.#byPeer.get(peer)?.tellEntries(clock, told);
  }

  /** How many names that stand for nothing the proxy on this connection asks for. */
  unknownNamesOf(peer: Peer): number {
    let count = 0;
    for (const stream of this.#byPeer.get(peer)?.streams ?? []) count += stream.unknownNames;
    return count;
  }

  /** Told of everything that happens from now on. Returns the way to stop. */
  watch(listener: (event: StreamEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** True while somebody listens. */
  get heard(): boolean {
    return this.#listeners.size > 0;
  }

  /** Makes an event only where somebody listens. */
  tell(make: () => StreamEvent): void {
    if (this.#listeners.size === 0) return;
    this.#listeners.tell(make());
  }
}
