/**
 * One SVID per entry, or per SPIFFE ID of an entry with a template, shared by all callers that have it. It is issued at
 * the first request, kept fresh while it has listeners, and dropped when it has none.
 */

import { isDeepStrictEqual } from 'node:util';
import { backoff, backoffApart, type Clock, type Deadline, isValidAt } from '../base/index.ts';
import type { SvidAuthority, X509Svid } from '../ca/index.ts';
import { ENTRY_FIELD_LIST, type Entry } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import { type Grant, isGrant, keyOf, nextVersion } from './grant.ts';

/** An SVID and the sequence number at which its issuance began; see {@link SequenceNumbers}. */
export interface SequencedSvid {
  readonly svid: X509Svid;
  readonly sequence: number;
}

/** Orders issuances and attestations: an SVID goes only to callers that were attested after its issuance began. */
export class SequenceNumbers {
  #last = 0;
  next(): number {
    this.#last += 1;
    return this.#last;
  }
}

interface SvidSlot {
  entry: Grant;
  current: SequencedSvid | undefined;
  issuing: Promise<SequencedSvid> | undefined;
  readonly watchers: Set<() => void>;
  renewal: Deadline | undefined;
  /** Consecutive failures. */
  failures: number;
  /** Reissues because of rejections since the last scheduled renewal. */
  rejections: number;
  reissue: Deadline | undefined;
}

const RETRY_FIRST_MS = 500;
const RETRY_LIMIT_MS = 30_000;
const REISSUE_FIRST_MS = 1_000;
const REISSUE_LIMIT_MS = 300_000;

export interface SvidsParts {
  readonly ca: SvidAuthority;
  readonly clock: Clock;
  readonly log: Log;
  readonly sequence: SequenceNumbers;
  /** Called with each SVID that was issued: its grant and end (milliseconds since the epoch). */
  readonly onIssued: (entry: Grant, notAfter: number) => void;
  /** Whether the SVID with this serial number is revoked. */
  readonly isRevoked: (serial: string) => boolean;
}

export class Svids {
  /** By {@link keyOf}. */
  readonly #slots = new Map<string, SvidSlot>();
  /** The keys of the slots of entries with templates, by entry id. */
  readonly #rendered = new Map<string, Set<string>>();
  readonly #ca: SvidAuthority;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #sequence: SequenceNumbers;
  readonly #onIssued: SvidsParts['onIssued'];
  readonly #isRevoked: SvidsParts['isRevoked'];
  /** The number of times that all SVIDs were replaced. */
  #generation = 0;

  constructor(parts: SvidsParts) {
    this.#onIssued = parts.onIssued;
    this.#isRevoked = parts.isRevoked;
    this.#ca = parts.ca;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#sequence = parts.sequence;
  }

  /** The entry's SVID if a fresh one is cached; issues none. */
  peek(entry: Grant): SequencedSvid | undefined {
    const slot = this.#slots.get(keyOf(entry));
    const current = slot?.current;
    return current !== undefined && sameContent(slot!.entry, entry) && this.#fresh(current.svid) ? current : undefined;
  }

  /**
   * The entry's SVID; issues one if none is fresh. If issuing fails, returns the cached one while it is valid.
   * @throws ERR_CA, ERR_STORE; retried while there are listeners
   */
  async get(entry: Grant): Promise<SequencedSvid> {
    const ready = this.peek(entry);
    if (ready !== undefined) return ready;
    const slot = this.#slot(entry);
    try {
      return await this.#issue(slot);
    } catch (error) {
      if (slot.current !== undefined && this.#isUsable(slot.current.svid)) return slot.current;
      throw error;
    }
  }

  /** Keeps the entry's SVID fresh and calls the listener for each new one. @returns a function that stops this */
  watch(entry: Grant, listener: () => void): () => void {
    const slot = this.#slot(entry);
    slot.watchers.add(listener);
    return () => slot.watchers.delete(listener);
  }

  /**
   * Call it when a proxy rejects the SVID of the grant with this key: a new one is issued after a delay. The delay
   * doubles up to a limit and is reset by a scheduled renewal, so that one broken proxy does not disturb others that share
   * the entry.
   */
  reissue(key: string): void {
    const slot = this.#slots.get(key);
    if (slot === undefined || slot.reissue !== undefined) return;
    slot.rejections += 1;
    const delay = backoff(slot.rejections, REISSUE_FIRST_MS, REISSUE_LIMIT_MS);
    slot.reissue = this.#clock.after(delay, () => {
      slot.reissue = undefined;
      this.#renew(slot);
    });
  }

  /** Applies a change or deletion (`after` undefined) of an entry. */
  entryChanged(id: string, after: Entry | undefined): void {
    for (const key of [id, ...(this.#rendered.get(id) ?? [])]) {
      const slot = this.#slots.get(key);
      if (slot !== undefined) this.#slotChanged(slot, after);
    }
  }

  #slotChanged(slot: SvidSlot, after: Entry | undefined): void {
    // A literal entry keeps its slot when its SPIFFE ID changes.
    const next = after === undefined ? undefined : this.#nextOf(slot.entry, after);
    if (next === undefined) this.#forget(slot);
    else if (sameContent(slot.entry, next)) slot.entry = next;
    else {
      slot.entry = next;
      slot.current = undefined;
      this.#renew(slot);
    }
  }

  #nextOf(before: Grant, after: Entry): Grant | undefined {
    return before.rendered === undefined && isGrant(after) ? after : nextVersion(before, after);
  }

  /** Invalidates all SVIDs: those with listeners are issued again, the others dropped. */
  replaceAll(): void {
    this.#generation += 1;
    for (const slot of this.#slots.values()) {
      slot.current = undefined;
      this.#renew(slot);
    }
  }

  /**
   * Replaces the SVIDs that are revoked: those with listeners are issued again, and stay until then; the others are
   * dropped.
   * @returns for each one that is issued again, a promise that resolves when that is done or has failed
   */
  replaceRevoked(): Promise<unknown>[] {
    const again: Promise<unknown>[] = [];
    for (const slot of this.#slots.values()) {
      if (slot.current === undefined || !this.#isRevoked(slot.current.svid.serial)) continue;
      if (slot.watchers.size === 0) this.#forget(slot);
      else again.push(this.#issue(slot).catch(() => undefined)); // logged, and a retry is scheduled
    }
    return again;
  }

  /** The SVIDs that callers watch now. The iteration may be spread over time. */
  *inUse(): Iterable<X509Svid> {
    for (const { current, watchers } of this.#slots.values()) {
      if (current !== undefined && watchers.size > 0) yield current.svid;
    }
  }

  close(): void {
    for (const slot of this.#slots.values()) cancel(slot);
    this.#slots.clear();
  }

  #slot(entry: Grant): SvidSlot {
    const key = keyOf(entry);
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = newSlot(entry);
      this.#slots.set(key, slot);
      if (entry.rendered !== undefined) this.#noteRendered(entry.id, key);
    } else if (!sameContent(slot.entry, entry)) {
      slot.entry = entry;
      slot.current = undefined;
    }
    return slot;
  }

  #noteRendered(id: string, key: string): void {
    const keys = this.#rendered.get(id);
    if (keys === undefined) this.#rendered.set(id, new Set([key]));
    else keys.add(key);
  }

  #issue(slot: SvidSlot): Promise<SequencedSvid> {
    slot.issuing ??= this.#issueNow(slot).finally(() => {
      slot.issuing = undefined;
    });
    return slot.issuing;
  }

  async #issueNow(slot: SvidSlot): Promise<SequencedSvid> {
    for (;;) {
      const { entry } = slot;
      const sequence = this.#sequence.next();
      const generation = this.#generation;
      try {
        const svid = await this.#ca.issue({
          entryId: entry.id,
          grant: keyOf(entry),
          spiffeId: entry.spiffeId,
          dnsNames: entry.dnsNames,
          keyType: entry.x509SvidKeyType,
          ttl: entry.x509SvidTtl,
          notAfter: entry.expiresAt,
          replacesUntil: slot.current?.svid.notAfter ?? 0,
        });
        this.#onIssued(entry, svid.notAfter);
        // Meanwhile the entry may have changed, another authority may sign, or the SVID may be revoked, as it is on record.
        const isOutdated = generation !== this.#generation && !this.#ca.signs(svid.authorityId);
        if (!sameContent(slot.entry, entry) || isOutdated || this.#isRevoked(svid.serial)) continue;
        slot.failures = 0;
        slot.current = { svid, sequence };
        for (const listener of [...slot.watchers]) listener();
        slot.renewal?.cancel();
        // An SVID that ends with its entry is not renewed; the registry reports that end.
        if (svid.renewAt < svid.notAfter) slot.renewal = this.#clock.at(svid.renewAt, () => this.#renewInTime(slot));
        return slot.current;
      } catch (error) {
        this.#failed(slot, error);
        throw error;
      }
    }
  }

  #failed(slot: SvidSlot, error: unknown): void {
    slot.failures += 1;
    const delay = backoffApart(slot.failures, RETRY_FIRST_MS, RETRY_LIMIT_MS);
    this.#log.error(
      { err: error, entry_id: slot.entry.id, spiffe_id: slot.entry.spiffeId, retry_ms: delay },
      'issuing an SVID failed',
    );
    slot.renewal?.cancel();
    slot.renewal = this.#clock.after(delay, () => this.#renew(slot));
  }

  #renewInTime(slot: SvidSlot): void {
    slot.rejections = 0;
    this.#renew(slot);
  }

  /** Issues a new SVID; drops the slot if it has no listeners. */
  #renew(slot: SvidSlot): void {
    if (this.#slots.get(keyOf(slot.entry)) !== slot) return;
    if (slot.watchers.size === 0 && slot.issuing === undefined) {
      this.#forget(slot);
      return;
    }
    this.#issue(slot).catch(() => undefined); // logged, and a retry is scheduled
  }

  #forget(slot: SvidSlot): void {
    cancel(slot);
    slot.current = undefined;
    const key = keyOf(slot.entry);
    this.#slots.delete(key);
    const { id } = slot.entry;
    const keys = this.#rendered.get(id);
    keys?.delete(key);
    if (keys?.size === 0) this.#rendered.delete(id);
  }

  #fresh(svid: X509Svid): boolean {
    return this.#isUsable(svid) && this.#clock.now() < svid.renewAt;
  }

  #isUsable(svid: X509Svid): boolean {
    return isValidAt(svid, this.#clock.now()) && !this.#isRevoked(svid.serial);
  }
}

function newSlot(entry: Grant): SvidSlot {
  return {
    entry,
    current: undefined,
    issuing: undefined,
    watchers: new Set(),
    renewal: undefined,
    failures: 0,
    rejections: 0,
    reissue: undefined,
  };
}

const IN_SVID = ENTRY_FIELD_LIST.filter(([, { inSvid }]) => inSvid).map(([field]) => field);

function cancel(slot: SvidSlot): void {
  slot.renewal?.cancel();
  slot.reissue?.cancel();
}

/** True if SVIDs of the two entries would differ only in key, serial number and dates. */
export function sameContent(a: Grant, b: Grant): boolean {
  return a === b || IN_SVID.every((field) => isDeepStrictEqual(a[field], b[field]));
}
