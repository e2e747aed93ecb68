/**
 * What the page follows, merged: rows of proxies that have changed, the last events, and counts. It follows the ledger only
 * while somebody reads, and a minute longer, so that a server without readers does nothing for it. Its share of the event
 * loop is bounded, so that pushing secrets stays fast while ten thousand rows change: rows that have no time left wait for
 * the next message, and only their last state is sent.
 */

import { randomBytes } from 'node:crypto';
import type { Peer } from '../../attest/index.ts';
import { type Clock, type Deadline, Slices } from '../../base/index.ts';
import { type Ledger, STALE_MS, type StreamEvent } from '../../delivery/index.ts';
import type { Registry } from '../../registry/index.ts';
import type { EventSources } from '../events.ts';
import { STATES } from '../proxy-schema.ts';
import { time } from '../time.ts';
import type { ChangedKind, PageCountsJson, PageEventJson } from './live-schema.ts';
import { authorityEvent, entryEvents, pageStreamEvent, relationshipEvent, revocationEvent } from './page-event.ts';
import { type ProxyRow, proxyRow } from './proxy-row.ts';

/** Interval of messages, in milliseconds: at most 20 a second. */
export const MESSAGE_MS = 50;
/** Time for the rows of one message, in milliseconds. */
const ROWS_MS = 3;
/** After a message that took longer, the next one waits this many times as long: one proxy may have thousands of names. */
const REST = 16;
/** Maximum of a message's rows, in characters. */
const MOST_OF_ROWS = 128 * 1024;
/** Events in a message. */
const MESSAGE_EVENTS = 10;
/** Events that are kept. */
export const KEPT_EVENTS = 50;
/** The ledger is followed for this long after the last reader left, so that one that comes back has missed nothing. */
const LINGER_MS = 60_000;

export interface LiveSources extends Pick<EventSources, 'federation' | 'onIssued' | 'ca' | 'clock'> {
  readonly registry: EventSources['registry'] & Pick<Registry, 'relationships'>;
  readonly ledger: Pick<Ledger, 'watch' | 'connections' | 'connectionOf'>;
}

/** Gets the JSON of a message, and the id by which a reader resumes after it. */
export type LiveListener = (json: string, id: string) => void;

export class LiveView {
  readonly instance = randomBytes(8).toString('hex');
  readonly #sources: LiveSources;
  readonly #clock: Clock;
  readonly #listeners = new Set<LiveListener>();
  readonly #rows = new Map<Peer, ProxyRow>();
  readonly #dirty = new Set<Peer>();
  /** Peers with secrets that were sent and not answered, which become stale without an event, and when. */
  readonly #mayBecomeStale = new Map<Peer, number>();
  readonly #ring: PageEventJson[] = [];
  readonly #stopRing: readonly (() => void)[];
  #following: Following | undefined;
  #linger: Deadline | undefined;
  #timer: Deadline | undefined;
  /** Milliseconds since the epoch of performance.now(). */
  #notBefore = 0;
  #staleCheck: Deadline | undefined;
  #cursor = 0;
  #closed = false;
  readonly #totals = { proxies: new Map<string, number>(), secrets: STATES.map(() => 0), streams: 0 };
  #merged = nothingMerged();

  constructor(sources: LiveSources) {
    this.#sources = sources;
    this.#clock = sources.clock;
    const { registry, federation, ca } = sources;
    // They are rare, so they are kept whether or not there is a reader.
    this.#stopRing = [
      registry.onChange((changes) => {
        for (const event of entryEvents(changes, registry, this.#clock.now(), KEPT_EVENTS)) this.#keep(event);
        this.#changed('entries', Math.max(0, changes.length - KEPT_EVENTS));
      }),
      registry.revocations.onChange(({ revoked, restored }) => {
        const now = this.#clock.now();
        for (const one of revoked.slice(-KEPT_EVENTS)) this.#keep(revocationEvent('revoked', one, now));
        for (const one of restored.slice(-KEPT_EVENTS)) this.#keep(revocationEvent('restored', one, now));
        this.#changed('revocations', 0);
      }),
      ca.onMove((move) => {
        this.#keep(authorityEvent(move));
        this.#changed('authorities', 0);
      }),
      federation.onMove((move) => {
        this.#keep(relationshipEvent(move));
        this.#changed('bundles', 0);
      }),
      registry.federatedBundles.onChange(() => this.#changed('bundles', 0)),
      registry.relationships.onChange(() => this.#changed('bundles', 0)),
    ];
  }

  get cursor(): number {
    return this.#cursor;
  }

  /** The id of the last message: a reader that has seen it and comes back has missed nothing. */
  get id(): string {
    return `${this.instance}-${this.#cursor}`;
  }

  /** Resolves once every proxy has its row; from then on they follow the ledger. */
  ready(): Promise<void> {
    this.#follow();
    this.#lingerOn();
    return this.#following!.complete;
  }

  counts(): PageCountsJson {
    const { proxies, secrets, streams } = this.#totals;
    return {
      proxies: Object.fromEntries([...proxies].filter(([, count]) => count > 0)),
      secrets: Object.fromEntries(STATES.flatMap((state, at) => (secrets[at] === 0 ? [] : [[state, secrets[at]!]]))),
      streams,
    };
  }

  /** The JSON of each row. */
  *rows(): Iterable<string> {
    for (const { json } of this.#rows.values()) yield json;
  }

  /** Newest first. */
  events(): PageEventJson[] {
    return this.#ring.toReversed();
  }

  /** Calls the listener with each message from now on. @returns a function that stops this */
  watch(listener: LiveListener): () => void {
    this.#listeners.add(listener);
    this.#follow();
    this.#linger?.cancel();
    this.#linger = undefined;
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#lingerOn();
    };
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stopRing) stop();
    this.#listeners.clear();
    this.#unfollow();
  }

  #follow(): void {
    if (this.#following !== undefined || this.#closed) {
      this.#following ??= { complete: Promise.resolve(), stop: () => undefined };
      return;
    }
    const { ledger, onIssued } = this.#sources;
    // Nobody knows what changed while nothing was followed.
    this.#cursor += 1;
    const stops = [
      ledger.watch((event) => this.#streamEvent(event)),
      onIssued((records) => {
        this.#merged.issued += records.length;
        this.#changed('issuances', 0);
      }),
    ];
    const following: Following = {
      complete: this.#fill(() => this.#following === following),
      stop: () => {
        for (const stop of stops) stop();
      },
    };
    this.#following = following;
  }

  #unfollow(): void {
    this.#following?.stop();
    this.#following = undefined;
    for (const deadline of [this.#linger, this.#timer, this.#staleCheck]) deadline?.cancel();
    this.#linger = undefined;
    this.#timer = undefined;
    this.#staleCheck = undefined;
    this.#rows.clear();
    this.#dirty.clear();
    this.#mayBecomeStale.clear();
    this.#totals.proxies.clear();
    this.#totals.secrets.fill(0);
    this.#totals.streams = 0;
    this.#merged = nothingMerged();
  }

  #lingerOn(): void {
    this.#linger?.cancel();
    this.#linger = undefined;
    if (this.#listeners.size > 0 || this.#closed) return;
    this.#linger = this.#clock.after(LINGER_MS, () => this.#unfollow());
  }

  async #fill(isWanted: () => boolean): Promise<void> {
    const slices = new Slices();
    for (const { peer } of this.#sources.ledger.connections()) {
      this.#update(peer);
      if (!slices.isOver()) continue;
      await slices.next();
      if (!isWanted()) return;
    }
  }

  #streamEvent(event: StreamEvent): void {
    const { peer, type } = event;
    this.#dirty.add(peer);
    if (type === 'sent') this.#merged.sent += event.names.length;
    else if (type === 'acked') this.#merged.acked += event.names.length;
    else this.#keep(pageStreamEvent(event));
    this.#tellLater();
  }

  /** Keeps an event for the overview and for the next message. */
  #keep(event: PageEventJson): void {
    this.#ring.push(event);
    if (this.#ring.length > KEPT_EVENTS) this.#ring.shift();
    if (this.#following === undefined) return;
    const { events } = this.#merged;
    events.push(event);
    if (events.length > MESSAGE_EVENTS) {
      events.shift();
      this.#merged.lost += 1;
    }
  }

  #changed(kind: ChangedKind, lost: number): void {
    if (this.#following === undefined) return;
    this.#merged.changed.add(kind);
    this.#merged.lost += lost;
    this.#tellLater();
  }

  #tellLater(): void {
    if (this.#timer !== undefined || this.#following === undefined) return;
    const wait = Math.max(MESSAGE_MS, this.#notBefore - performance.now());
    this.#timer = this.#clock.after(wait, () => {
      this.#timer = undefined;
      this.#tell();
    });
  }

  /** Sends what has changed. */
  #tell(): void {
    const begun = performance.now();
    const rows: string[] = [];
    const gone: string[] = [];
    let length = 0;
    for (const peer of this.#dirty) {
      this.#dirty.delete(peer);
      const known = this.#rows.get(peer);
      const row = this.#update(peer);
      if (row !== undefined) {
        rows.push(row.json);
        length += row.json.length;
      } else if (known !== undefined) gone.push(known.connection);
      if (length > MOST_OF_ROWS || performance.now() - begun > ROWS_MS) break;
    }
    const { events, lost, sent, acked, issued, changed } = this.#merged;
    this.#merged = nothingMerged();
    this.#cursor += 1;
    if (this.#listeners.size > 0) {
      const place = { instance: this.instance, cursor: this.#cursor, at: time(this.#clock.now()) };
      const rest = { gone, events, lost, sent, acked, issued, changed: [...changed], counts: this.counts() };
      const json = `${JSON.stringify(place).slice(0, -1)},"rows":[${rows.join(',')}],${JSON.stringify(rest).slice(1)}`;
      for (const listener of [...this.#listeners]) listener(json, this.id);
    }
    this.#notBefore = begun + (performance.now() - begun) * REST;
    if (this.#dirty.size > 0) this.#tellLater();
  }

  /** Makes the row of a proxy anew. @returns undefined if its connection has closed */
  #update(peer: Peer): ProxyRow | undefined {
    const before = this.#rows.get(peer);
    const connection = this.#sources.ledger.connectionOf(peer);
    const now = this.#clock.now();
    const row = connection && proxyRow(connection, now);
    if (before !== undefined) this.#count(before, -1);
    if (row === undefined) {
      this.#rows.delete(peer);
      this.#mayBecomeStale.delete(peer);
      return undefined;
    }
    this.#count(row, 1);
    this.#rows.set(peer, row);
    this.#mayBecomeStale.delete(peer);
    if (row.secrets[STATES.indexOf('sent')]! > 0) {
      this.#mayBecomeStale.set(peer, now + STALE_MS);
      this.#checkStaleLater();
    }
    return row;
  }

  #count({ state, secrets, streams }: ProxyRow, by: 1 | -1): void {
    const { proxies, secrets: totals } = this.#totals;
    proxies.set(state, (proxies.get(state) ?? 0) + by);
    for (const [at, count] of secrets.entries()) totals[at]! += by * count;
    this.#totals.streams += by * streams;
  }

  #checkStaleLater(): void {
    if (this.#staleCheck !== undefined) return;
    const [first] = this.#mayBecomeStale.values();
    if (first === undefined) return;
    this.#staleCheck = this.#clock.at(first + 1, () => {
      this.#staleCheck = undefined;
      const now = this.#clock.now();
      // They are in the order of their times.
      for (const [peer, at] of this.#mayBecomeStale) {
        if (at > now) break;
        this.#mayBecomeStale.delete(peer);
        this.#dirty.add(peer);
      }
      this.#checkStaleLater();
      if (this.#dirty.size > 0) this.#tellLater();
    });
  }
}

interface Following {
  /** Resolves once every proxy has its row. */
  readonly complete: Promise<void>;
  readonly stop: () => void;
}

interface Merged {
  readonly events: PageEventJson[];
  readonly changed: Set<ChangedKind>;
  lost: number;
  sent: number;
  acked: number;
  issued: number;
}

function nothingMerged(): Merged {
  return { events: [], changed: new Set(), lost: 0, sent: 0, acked: 0, issued: 0 };
}
