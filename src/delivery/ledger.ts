/**
 * The ledger: what each proxy requests, was sent, and answered. It is a view over the streams, which keep the state of
 * their own names; it stores nothing itself, so the limits on streams bound its size.
 */

import type { Peer } from '../attest/index.ts';
import { type Clock, type Deadline, Listeners } from '../base/index.ts';
import type { LaggingProxy } from '../ca/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { Node } from './node.ts';
import type { StreamEvent } from './stream-event.ts';
import type { StreamReport } from './stream-report.ts';

/**
 * Minimum interval between two reports of a connection's entries, in milliseconds: a proxy that rejects everything
 * sends a NACK on each of its streams. A reissue waits longer than that anyway.
 */
const LOOK_AGAIN_MS = 200;

/** One connection, shared by the streams of a proxy. The object stays readable after the connection has closed. */
export interface ProxyConnection {
  /** Unique since the start; increases in the order of {@link Ledger.connections}. */
  readonly number: number;
  readonly peer: Peer;
  /** The caller's facts as `type:value`, without the values of environment selectors. */
  readonly selectors: readonly string[];
  /** Undefined before the first request, or if no request had a node. */
  readonly node: Node | undefined;
  /** Oldest first. */
  readonly streams: Iterable<LedgerStream>;
}

/** The ledger's view of a stream. */
export interface LedgerStream {
  readonly peer: Peer;
  readonly selectors: readonly string[];
  readonly node: Node | undefined;
  report(now: number): StreamReport;
  /** The grants (entries, or SPIFFE IDs of entries with templates) whose certificates the client was sent. */
  sentGrants(): Iterable<string>;
  /** The number of its names with the reason `unknown-name`. */
  readonly unknownNames: number;
}

class OpenConnection implements ProxyConnection {
  readonly number: number;
  readonly peer: Peer;
  readonly streams = new Set<LedgerStream>();
  /**
   * Streams on which a bundle was rejected since the proxy last accepted a certificate, with the callback that sends it
   * again.
   */
  readonly rejecting = new Map<LedgerStream, () => void>();
  /** Pending for LOOK_AGAIN_MS after a report; `#lookAgain` requests another report at its end. */
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

  tellGrants(clock: Clock, told: (grant: string) => void): void {
    if (this.#pause !== undefined) {
      this.#lookAgain = true;
      return;
    }
    this.#lookAgain = false;
    for (const grant of this.#grants()) told(grant);
    this.#pause = clock.after(LOOK_AGAIN_MS, () => {
      this.#pause = undefined;
      if (this.#lookAgain) this.tellGrants(clock, told);
    });
  }

  end(): void {
    this.#pause?.cancel();
  }

  #grants(): Set<string> {
    const grants = new Set<string>();
    for (const stream of this.streams) for (const grant of stream.sentGrants()) grants.add(grant);
    return grants;
  }
}

export class Ledger {
  readonly #byPeer = new Map<Peer, OpenConnection>();
  readonly #listeners: Listeners<StreamEvent>;
  #connections = 0;
  #streams = 0;

  constructor(log: Log) {
    this.#listeners = new Listeners((err) => log.error({ err }, 'stream event listener failed'));
  }

  /** A number for a new stream: they are counted from 1 since the start. */
  nextStream(): number {
    this.#streams += 1;
    return this.#streams;
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

  /** Notes that the proxy rejected a bundle on this stream. `retry` is called when the proxy accepts a certificate. */
  bundleRejected(stream: LedgerStream, retry: () => void): void {
    this.#byPeer.get(stream.peer)?.rejecting.set(stream, retry);
  }

  /**
   * Notes that the proxy accepted a certificate: bundles that it rejected because of a bad certificate are sent again.
   */
  certificateTaken(peer: Peer): void {
    const rejecting = this.#byPeer.get(peer)?.rejecting;
    if (rejecting === undefined || rejecting.size === 0) return;
    const retries = [...rejecting.values()];
    rejecting.clear();
    for (const retry of retries) retry();
  }

  /**
   * Every connection with an open stream and a number above `after`, in the order of their opening. The iteration may
   * be spread over time; connections that open or close meanwhile may or may not be included.
   */
  *connections(after = 0): Iterable<ProxyConnection> {
    for (const connection of this.#byPeer.values()) if (connection.number > after) yield connection;
  }

  /** Undefined if no stream of the connection is open. */
  connectionOf(peer: Peer): ProxyConnection | undefined {
    return this.#byPeer.get(peer);
  }

  /**
   * Notes a NACK on this connection: calls `told` with the grants whose certificates the proxy has, at most
   * once per LOOK_AGAIN_MS; a NACK in between is reported at the end of that time.
   */
  rejected(peer: Peer, clock: Clock, told: (grant: string) => void): void {
    this.#byPeer.get(peer)?.tellGrants(clock, told);
  }

  /** The number of unknown names that the proxy requests on this connection. */
  unknownNamesOf(peer: Peer): number {
    let count = 0;
    for (const stream of this.#byPeer.get(peer)?.streams ?? []) count += stream.unknownNames;
    return count;
  }

  /**
   * The proxies that were sent a bundle of this trust domain and have not acknowledged the one with this sequence number.
   * Those that were sent none are not among them. The iteration is lazy: to find out if there is one, take the first.
   */
  *lagging(trustDomain: TrustDomain, sequenceNumber: number, now: number): Iterable<LaggingProxy> {
    yield* this.alsoLagging(sequenceNumber);
    for (const { peer, node, streams } of this.#byPeer.values()) {
      const { pid, uid } = peer.credentials;
      for (const stream of streams) {
        for (const { name, trust, ackedTrust, rejection } of stream.report(now).secrets) {
          if (trust === undefined || !trust.some((bundle) => bundle.trustDomain === trustDomain)) continue;
          const acked = ackedTrust?.find((bundle) => bundle.trustDomain === trustDomain);
          if (acked !== undefined && acked.sequenceNumber >= sequenceNumber) continue;
          yield { pid, uid, node: node?.id, name, rejection: rejection?.message };
        }
      }
    }
  }

  /** Proxies of other hosts that have not acknowledged the own domain's bundle; set if there is a port for agents. */
  alsoLagging: (sequenceNumber: number) => Iterable<LaggingProxy> = () => [];

  /** The agents of other hosts that may still use such an SVID of their own; set if there is a port for them. */
  alsoUsing: (authorityIds: ReadonlySet<string>) => Iterable<LaggingProxy> = () => [];

  /**
   * The proxies that may still use an SVID that one of these authorities signed: it is the last one that they were sent,
   * or they have not acknowledged the one after it. Lazy as {@link lagging}.
   */
  *using(authorityIds: ReadonlySet<string>, now: number): Iterable<LaggingProxy> {
    yield* this.alsoUsing(authorityIds);
    for (const { peer, node, streams } of this.#byPeer.values()) {
      const { pid, uid } = peer.credentials;
      for (const stream of streams) {
        for (const { name, authorityId, version, acked, rejection } of stream.report(now).secrets) {
          if (authorityId === undefined || (acked === version && !authorityIds.has(authorityId))) continue;
          yield { pid, uid, node: node?.id, name, rejection: rejection?.message };
        }
      }
    }
  }

  /** Calls the listener for every event from now on. Returns a function that stops it. */
  watch(listener: (event: StreamEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** True if there is a listener. */
  get heard(): boolean {
    return this.#listeners.size > 0;
  }

  /** Builds the event only if there is a listener. */
  tell(make: () => StreamEvent): void {
    if (this.#listeners.size === 0) return;
    this.#listeners.tell(make());
  }
}
