/**
 * One stream of secrets: connects its {@link Subscription} with the secrets that its caller may have. A change marks
 * names dirty; a push takes the dirty names, looks up their secrets, and sends the new ones.
 */

import { randomBytes } from 'node:crypto';
import type { Peer } from '../attest/index.ts';
import {
  type Asker,
  type LedgerStream,
  type Node,
  type Pushing,
  type QueuePlace,
  type SecretReport,
  StreamEvents,
  type StreamReport,
} from '../delivery/index.ts';
import type { Caller } from '../identity/index.ts';
import { Status, StatusError, type Stream, type StreamHandler } from '../wire/index.ts';
import { HeldNames } from './held-names.ts';
import { everyName } from './names.ts';
import type { EnvoyNode } from './node.ts';
import { Pusher } from './pusher.ts';
import { type Answered, namesOf, Rejections } from './rejections.ts';
import { NOT_LOOKED_FOR, reportSecret } from './secret-report.ts';
import { validationFor } from './secrets.ts';
import type { StreamContext, StreamKind, StreamParts } from './stream-context.ts';
import { type Change, Subscription } from './subscription.ts';
import type { Taken } from './variant.ts';
import { WatchedNames } from './watched-names.ts';

const noncePrefix = randomBytes(4).toString('hex');

export class SecretStream implements StreamHandler, LedgerStream, Pushing, StreamContext {
  readonly stream: Stream;
  readonly parts: StreamParts;
  readonly kind: StreamKind;
  readonly caller: Caller;
  readonly subscription: Subscription;
  readonly names: WatchedNames;
  readonly events: StreamEvents;
  readonly #held: HeldNames;
  readonly #pusher: Pusher;
  readonly #rejections: Rejections;
  readonly #place: QueuePlace;
  readonly #number: number;
  readonly #openedAt: number;
  #stopWildcard: (() => void) | undefined;
  #ended = false;
  /** Memory charged to the caller's owner, in bytes. */
  #charged = 0;

  constructor(stream: Stream, kind: StreamKind, parts: StreamParts) {
    this.#number = parts.ledger.nextStream();
    this.#openedAt = parts.clock.now();
    this.stream = stream;
    this.parts = parts;
    this.kind = kind;
    kind.counts.opened += 1;
    this.caller = parts.identities.caller(stream.peer);
    this.subscription = new Subscription(`${noncePrefix}.${this.#number}.`, kind.variant.saysRemoved);
    this.names = new WatchedNames(
      parts.identities,
      this.caller,
      parts.trustDomain,
      (name) => this.lookAgain(name),
      parts.reservedNames,
    );
    this.events = new StreamEvents(stream, this.#number, parts);
    this.#held = new HeldNames(this);
    this.#pusher = new Pusher(this, this.#held);
    this.#rejections = new Rejections(this, this);
    this.#place = parts.queue.place(this);
    parts.ledger.open(this);
    this.events.tell('stream_opened', () => []);
  }

  get peer(): Peer {
    return this.stream.peer;
  }

  get connection(): Stream['connection'] {
    return this.stream.connection;
  }

  get selectors(): readonly string[] {
    return this.caller.shownSelectors;
  }

  get node(): Node | undefined {
    return this.events.node;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get unknownNames(): number {
    return this.#held.unknown;
  }

  get asker(): Asker {
    return { peer: this.peer, caller: this.caller, node: this.node };
  }

  report(now: number): StreamReport {
    const { service, variant } = this.kind;
    const about = { id: this.#number, service, variant: variant.name, openedAt: this.#openedAt };
    return { ...about, secrets: this.#secrets(now) };
  }

  *#secrets(now: number): Iterable<SecretReport> {
    for (const asked of this.subscription.asked) {
      // The stream may close while its report is read.
      if (this.#ended) return;
      yield reportSecret(asked, this.names.get(asked.name) ?? NOT_LOOKED_FOR, now);
    }
  }

  *sentGrants(): Iterable<string> {
    for (const { name } of this.subscription.asked) {
      const grant = this.names.get(name)?.certificate?.grant;
      if (grant !== undefined) yield grant;
    }
  }

  message(bytes: Uint8Array): void {
    if (this.#ended) return;
    try {
      const { variant, service } = this.kind;
      const first = !this.subscription.begun;
      const admit = (bytes: number) => this.#admit(bytes);
      const options = { typeRequired: service === 'ads', now: this.parts.clock.now(), admit };
      const taken = variant.take(this.subscription, bytes, options);
      this.#charge();
      if (first) this.#begin(taken.node);
      this.#request(taken);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.parts.counters.add('requests_invalid_total');
      if (error.limit !== undefined) this.parts.counters.limits.add(error.limit);
      this.events.log.warn({ err: error }, 'invalid request: its stream is closed');
      this.end(error.status, error.message, error.details);
    }
  }

  halfClose(): void {
    this.end(Status.OK, '');
  }

  closed(): void {
    this.#ended = true;
    this.kind.counts.closed += 1;
    this.parts.queue.remove(this.#place);
    this.parts.ledger.close(this);
    this.#pusher.close();
    this.#stopWildcard?.();
    for (const name of this.names.names()) this.#held.end(name);
    this.names.clear();
    this.events.tell('stream_closed', () => []);
  }

  #begin(node: EnvoyNode | undefined): void {
    this.events.node = node;
    this.#pusher.lookup.validation = validationFor(node, this.parts.validation);
    const names = () => Array.from(this.subscription.asked, ({ name }) => name);
    this.events.debug(
      () => ({ node: node?.id, envoy: node?.version, names: names(), variant: this.kind.variant.name }),
      'stream opened',
    );
  }

  /** Charges memory for an admitted request to the caller's owner, before it is used. @throws LimitError */
  #admit(bytes: number): void {
    if (bytes <= this.#charged) return;
    this.stream.hold(bytes - this.#charged);
    this.#charged = bytes;
  }

  /** Adjusts the charge on the caller's owner to the memory in use. @throws LimitError */
  #charge(): void {
    const { bytes } = this.subscription;
    if (bytes > this.#charged) this.stream.hold(bytes - this.#charged);
    else if (bytes < this.#charged) this.stream.release(this.#charged - bytes);
    this.#charged = bytes;
  }

  #request({ outcome, rejection }: Taken): void {
    if (outcome.kind === 'stale') {
      this.events.debug(() => ({}), 'request with a stale nonce ignored');
      return;
    }
    if (outcome.kind === 'nack') this.#rejections.rejected(outcome, rejection ?? '');
    else if (outcome.kind === 'ack') {
      this.#countAck(outcome);
      if (this.events.isHeard) {
        this.events.debug(() => ({ names: namesOf(outcome) }), 'acknowledged');
        this.events.tell('acked', () => namesOf(outcome));
      }
      this.#rejections.acknowledged(outcome);
    }
    this.#follow(outcome);
    if (this.subscription.wildcard) this.#stopWildcard ??= this.#watchEverything();
    else {
      this.#stopWildcard?.();
      this.#stopWildcard = undefined;
    }
    this.push();
  }

  #countAck({ answered }: Answered): void {
    const { counts } = this.kind;
    counts.acks += 1;
    // A response with only removals has no names.
    const sentAt = answered[0]?.sentAt;
    if (sentAt !== undefined) counts.ackTimes.add((this.parts.clock.now() - sentAt) / 1_000);
  }

  followWildcard(): void {
    if (!this.subscription.wildcard) return;
    const names = everyName(this.parts.identities, this.caller);
    this.#follow(this.subscription.setWildcardNames(names, this.parts.clock.now()));
    this.#charge();
  }

  /** The wildcard's names change with the caller's entries and with the bundles that these entries federate with. */
  #watchEverything(): () => void {
    const changed = () => this.pushSoon();
    const stops = [this.caller.watchEntries(changed), this.parts.identities.watchBundles(changed)];
    this.caller.waits(1);
    stops.push(() => this.caller.waits(-1));
    return () => {
      for (const stop of stops) stop();
    };
  }

  #follow(change: Change): void {
    for (const name of change.removed) {
      this.#held.end(name);
      this.names.remove(name);
    }
  }

  lookAgain(name: string): void {
    this.subscription.markDirty(name);
    this.pushSoon();
  }

  pushSoon(): void {
    if (!this.#ended) this.parts.queue.add(this.#place);
  }

  push(): boolean {
    return this.#pusher.push();
  }

  end(...status: Parameters<Stream['end']>): void {
    if (this.#ended) return;
    this.#ended = true;
    this.stream.end(...status);
  }
}
