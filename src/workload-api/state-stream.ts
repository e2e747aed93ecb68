/**
 * A stream of the Workload API. Each message is the whole state of its caller: the first comes at once, later ones when the
 * state has changed. A message is built only after the last one was sent, so a client that does not read gets the latest
 * state and never a queue of old ones.
 *
 * The protocol has no acknowledgements. What is in the socket counts as acknowledged, which the ledger shows and the
 * rotation of authorities waits for.
 */

import type { Peer } from '../attest/index.ts';
import { type Clock, SidekeyError } from '../base/index.ts';
import {
  type Asker,
  AttestationRetry,
  type DeliveryCounts,
  type Ledger,
  type LedgerStream,
  notedOf,
  type Pushing,
  type PushQueue,
  type QueuePlace,
  refuseCaller,
  type StreamCounts,
  StreamEvents,
  type StreamReport,
} from '../delivery/index.ts';
import {
  type Caller,
  type Decisions,
  dependsOnFacts,
  type Held,
  type Identities,
  type NotedHold,
} from '../identity/index.ts';
import { LimitError } from '../limits/index.ts';
import type { Counters, Log } from '../telemetry/index.ts';
import { Status, StatusError, type Stream, type StreamEnd } from '../wire/index.ts';
import { isPassing, refusalOf } from './refusal.ts';
import { type Item, reportHeld, reportItem, type State } from './state.ts';

/** What all streams share. */
export interface StateParts {
  readonly identities: Identities;
  readonly clock: Clock;
  readonly log: Log;
  readonly queue: PushQueue;
  readonly counters: Counters;
  readonly counts: DeliveryCounts;
  readonly ledger: Ledger;
  readonly decisions: Decisions;
  /**
   * True: a caller without an identity waits until it gets one. False: its stream ends with PERMISSION_DENIED, as the
   * specification says.
   */
  readonly holdWithoutIdentity: boolean;
}

/** The state of one caller, as one method sends it. */
export interface Feed {
  readonly variant: StreamReport['variant'];
  /** The name under which a hold is recorded. */
  readonly name: string;
  /** The state, or why there is none, if nothing must be waited for; else undefined. */
  now(): State | Held | undefined;
  /** Waits for what must be issued. @throws ERR_PEER_*, ERR_ATTESTATION_FAILED */
  later(): Promise<State | Held>;
  close(): void;
}

export interface FeedContext {
  readonly identities: Identities;
  readonly caller: Caller;
  readonly clock: Clock;
  /** Call it when the state may have changed. */
  changed(): void;
}

/** Memory of one item of the last message, in bytes. */
const ITEM_BYTES = 512;

interface Hold extends Held {
  readonly since: number;
  readonly decision: NotedHold | undefined;
  /** Stops the looks at the caller's facts. */
  readonly stop: () => void;
}

export class StateStream implements StreamEnd, LedgerStream, Pushing {
  readonly #stream: Stream;
  readonly #parts: StateParts;
  readonly #caller: Caller;
  readonly #feed: Feed;
  readonly #events: StreamEvents;
  readonly #place: QueuePlace;
  readonly #number: number;
  readonly #openedAt: number;
  readonly #counts: StreamCounts;
  #ended = false;
  /** True while a message waits for the socket, or the next state is being looked up. */
  #busy = false;
  /** True if the state may have changed meanwhile. */
  #again = false;
  /** The items of the last message; undefined before the first. */
  #items: readonly Item[] | undefined;
  #version: string | undefined;
  #sentAt = 0;
  /** The version that the socket has taken. */
  #taken: string | undefined;
  #takenAt = 0;
  #hold: Hold | undefined;
  #awaitsFacts = false;
  #charged = 0;
  /** The latest end of the SVIDs that were sent, in milliseconds since the epoch. */
  #heldUntil = 0;
  #retry: AttestationRetry | undefined;

  constructor(stream: Stream, open: (context: FeedContext) => Feed, parts: StateParts) {
    const { identities, clock, ledger } = parts;
    this.#stream = stream;
    this.#parts = parts;
    this.#number = ledger.nextStream();
    this.#openedAt = clock.now();
    this.#caller = identities.caller(stream.peer);
    this.#events = new StreamEvents(stream, this.#number, parts);
    this.#place = parts.queue.place(this);
    this.#feed = open({ identities, caller: this.#caller, clock, changed: () => this.#pushSoon() });
    this.#counts = parts.counts.of({ service: 'workload-api', variant: this.#feed.variant });
    this.#counts.opened += 1;
    ledger.open(this);
    this.#events.tell('stream_opened', () => []);
    this.#events.debug(() => ({ variant: this.#feed.variant }), 'stream opened');
    this.#pushSoon();
  }

  get peer(): Peer {
    return this.#stream.peer;
  }

  get connection(): Stream['connection'] {
    return this.#stream.connection;
  }

  get selectors(): readonly string[] {
    return this.#caller.shownSelectors;
  }

  readonly node = undefined;
  readonly unknownNames = 0;

  *sentGrants(): Iterable<string> {
    for (const { svid } of this.#items ?? []) if (svid !== undefined) yield svid.grant;
  }

  report(now: number): StreamReport {
    const about = { service: 'workload-api', variant: this.#feed.variant } as const;
    const { id, openedAt } = { id: this.#number, openedAt: this.#openedAt };
    return { ...about, id, openedAt, secrets: this.#secrets(now) };
  }

  *#secrets(now: number): Iterable<ReturnType<typeof reportItem>> {
    if (this.#items === undefined) {
      const { since, decision } = this.#hold ?? { since: this.#openedAt, decision: undefined };
      yield reportHeld(this.#feed.name, this.#hold, since, decision?.id);
      return;
    }
    const sent = { version: this.#version, sentAt: this.#sentAt, taken: this.#taken, takenAt: this.#takenAt };
    for (const item of this.#items) yield reportItem(item, sent, now);
  }

  push(): boolean {
    try {
      return this.#push();
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  closed(): void {
    this.#ended = true;
    this.#counts.closed += 1;
    this.#parts.queue.remove(this.#place);
    this.#parts.ledger.close(this);
    this.#retry?.cancel();
    this.#endHold();
    this.#awaitFacts(false);
    this.#feed.close();
    this.#events.tell('stream_closed', () => []);
  }

  #pushSoon(): void {
    if (!this.#ended) this.#parts.queue.add(this.#place);
  }

  #push(): boolean {
    if (this.#ended) return false;
    if (this.#busy) {
      this.#again = true;
      return false;
    }
    if (!this.#caller.attested) {
      this.#await(this.#caller.attestAfter(0).then(() => this.#pushSoon()));
      return false;
    }
    const found = this.#feed.now();
    if (found !== undefined) return this.#take(found);
    this.#await(this.#feed.later().then((later) => void this.#take(later)));
    return false;
  }

  /** Waits for the work; changes meanwhile are looked at afterwards. */
  #await(work: Promise<void>): void {
    this.#busy = true;
    this.#stream
      .untilEnd(work)
      .finally(() => {
        this.#busy = this.#version !== this.#taken;
        this.#next();
      })
      .catch((error: unknown) => this.#fail(error));
  }

  #next(): void {
    if (this.#busy || !this.#again) return;
    this.#again = false;
    this.#pushSoon();
  }

  #take(found: State | Held): boolean {
    if (this.#ended) return false;
    if ('reason' in found) {
      this.#without(found);
      return false;
    }
    this.#endHold();
    this.#awaitFacts(false);
    if (found.version === this.#version) {
      // The same message may be of a newer bundle, whose change is in none of its fields.
      this.#items = found.items;
      return false;
    }
    if (found.hasKeys) this.#stream.peer.verify();
    return this.#send(found);
  }

  #send({ bytes, version, items }: State): boolean {
    const { clock } = this.#parts;
    this.#charge(items.length * ITEM_BYTES);
    this.#items = items;
    this.#version = version;
    this.#sentAt = clock.now();
    for (const { svid } of items) {
      if (svid === undefined) continue;
      this.#caller.given(svid.grant, svid.notAfter);
      this.#heldUntil = Math.max(this.#heldUntil, svid.notAfter);
    }
    this.#busy = true;
    this.#counts.pushes += 1;
    this.#stream.send(bytes, () => this.#taking(version));
    const names = () => items.map(({ name }) => name);
    this.#events.debug(() => ({ names: names(), version }), 'sent');
    this.#events.tell('sent', names, version);
    return true;
  }

  /** The socket has taken the message. */
  #taking(version: string): void {
    if (this.#ended) return;
    this.#taken = version;
    this.#takenAt = this.#parts.clock.now();
    this.#busy = false;
    this.#events.tell('acked', () => (this.#items ?? []).map(({ name }) => name));
    this.#next();
  }

  /** @throws LimitError */
  #charge(bytes: number): void {
    if (bytes > this.#charged) this.#stream.hold(bytes - this.#charged);
    else if (bytes < this.#charged) this.#stream.release(this.#charged - bytes);
    this.#charged = bytes;
  }

  /** There is nothing to send: the caller keeps what it has, waits, or is refused. */
  #without(held: Held): void {
    const hasSome = this.#items !== undefined;
    const isOfFacts = held.reason === 'facts-missing';
    if (isPassing(held) && hasSome) {
      // What was sent before stays in use.
      this.#awaitFacts(isOfFacts);
    } else if (!hasSome && (!isPassing(held) || isOfFacts) && this.#parts.holdWithoutIdentity) this.#wait(held);
    else this.#fail(refusalOf(held, this.#asker, this.#parts, this.#events.log));
  }

  /** While the stream needs facts that were not found, or not looked for, the caller is attested again. */
  #awaitFacts(awaits: boolean): void {
    if (awaits === this.#awaitsFacts) return;
    this.#awaitsFacts = awaits;
    this.#caller.waits(awaits ? 1 : -1);
  }

  #wait(held: Held): void {
    if (this.#hold?.detail === held.detail) return;
    const { clock, counts, decisions } = this.#parts;
    const before = this.#hold?.decision;
    this.#endHold();
    const isOfFacts = dependsOnFacts(held);
    if (isOfFacts) this.#caller.waits(1);
    const noted = () => notedOf('held', this.#asker, { ...held, name: this.#feed.name });
    const decision = decisions.hold(this.peer.owner, held.reason, noted, before);
    const stop = () => {
      if (isOfFacts) this.#caller.waits(-1);
    };
    this.#hold = { ...held, since: clock.now(), decision, stop };
    counts.holds.add(held.reason);
    counts.heldWithout.add(held.reason);
    this.#events.log.info(
      { reason: held.reason, detail: held.detail, decision: decision?.id },
      'caller waits for an identity',
    );
    this.#events.tell('held', () => [this.#feed.name], held.reason);
  }

  #endHold(): void {
    if (this.#hold === undefined) return;
    const { decision, reason, stop } = this.#hold;
    this.#parts.counts.heldWithout.add(reason, -1);
    this.#hold = undefined;
    stop();
    if (decision !== undefined) this.#parts.decisions.end(decision);
  }

  get #asker(): Asker {
    return { peer: this.peer, caller: this.#caller, node: undefined };
  }

  /** A failed attestation ends the stream, unless the client has a valid SVID: then it is retried until that SVID ends. */
  #fail(error: unknown): void {
    if (this.#ended) return;
    if (error instanceof LimitError) this.#end(Status.RESOURCE_EXHAUSTED, error.message);
    else if (error instanceof StatusError) this.#end(error.status, error.message, error.details);
    else if (error instanceof SidekeyError) this.#failed(error);
    else {
      this.#events.log.error({ err: error }, 'stream failed: internal error');
      this.#end(Status.INTERNAL, 'Sidekey failed; its log has the reason');
    }
  }

  #failed(failure: SidekeyError): void {
    const { clock, counters, decisions } = this.#parts;
    if (failure.code === 'ERR_ATTESTATION_FAILED') {
      if (clock.now() < this.#heldUntil) {
        this.#retry ??= new AttestationRetry(this.#caller, clock, () => this.#pushSoon());
        this.#retry.wait(this.#heldUntil);
        return;
      }
      counters.add('streams_unattested_total');
    }
    const { status, message, details } = refuseCaller(failure, this.#asker, decisions, this.#events.log);
    this.#end(status, message, details);
  }

  #end(...status: Parameters<Stream['end']>): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.end(...status);
  }
}
