/** The revoked certificates: cached in memory, persistent in the store until they end. */

import { type Actor, bodyOf, type EventBody, SERVER } from '../audit/index.ts';
import { type Clock, Listeners, type Revocation, SidekeyError, Slices } from '../base/index.ts';
import { compareText } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { type Change, revocationEvent } from './audit-events.ts';
import { finalRevocation, noSuchRevocation } from './store/conflict.ts';
import type { RevocationStore } from './store/revocation-store.ts';
import type { WriteQueue } from './write-queue.ts';

/** Each entry of a list makes each bundle longer. */
export const MAX_REVOCATIONS = 10_000;

export interface RevocationsParts {
  readonly store: RevocationStore;
  readonly queue: WriteQueue;
  readonly clock: Clock;
  readonly log: Log;
  /** Maximum number of unexpired revocations; by default {@link MAX_REVOCATIONS}. */
  readonly limit?: number | undefined;
}

/** One change: only one of the lists is not empty. */
export interface RevocationChange {
  readonly revoked: readonly Revocation[];
  /** Those that are undone. */
  readonly restored: readonly Revocation[];
  /** Those that were removed because their certificates have ended. */
  readonly ended: readonly Revocation[];
}

const NO_CHANGE: RevocationChange = { revoked: [], restored: [], ended: [] };

export class Revocations {
  readonly #parts: RevocationsParts;
  /** By serial number. */
  readonly #revocations: Map<string, Revocation>;
  readonly #listeners: Listeners<RevocationChange>;

  private constructor(parts: RevocationsParts, revocations: readonly Revocation[]) {
    this.#parts = parts;
    this.#revocations = new Map(revocations.map((revocation) => [revocation.serial, revocation]));
    this.#listeners = new Listeners((err) =>
      parts.log.error({ err }, 'a listener for changes of revocations threw an error'),
    );
  }

  /** @throws ERR_STORE */
  static async open(parts: RevocationsParts): Promise<Revocations> {
    return new Revocations(parts, await parts.store.load());
  }

  /** Maximum number of unexpired revocations. */
  get limit(): number {
    return this.#parts.limit ?? MAX_REVOCATIONS;
  }

  /** The number of revocations of certificates that have not ended. */
  get size(): number {
    const now = this.#parts.clock.now();
    let count = 0;
    for (const { notAfter } of this.#revocations.values()) if (notAfter >= now) count += 1;
    return count;
  }

  /** Also those of certificates that have ended, until they are removed: the clock may be set back. */
  all(): Revocation[] {
    return [...this.#revocations.values()];
  }

  /** Those of certificates that have not ended, newest first. */
  list(): Revocation[] {
    const now = this.#parts.clock.now();
    return [...this.#revocations.values()].filter(({ notAfter }) => notAfter >= now).sort(compareRevocations);
  }

  /** @param serial lower-case hex, as its issuance has it @returns also one whose certificate has ended, until it is removed */
  get(serial: string): Revocation | undefined {
    return this.#revocations.get(serial);
  }

  /**
   * Revokes certificates, in one transaction; those that are revoked already stay as they are, except that a final
   * revocation replaces a hold. Durable when the promise resolves.
   * @returns the new and the replaced ones @throws ERR_REVOCATION if there would be too many, with the limit; ERR_STORE
   */
  add(revocations: readonly Revocation[], by: Actor = SERVER): Promise<Revocation[]> {
    const { queue, store, clock } = this.#parts;
    return queue.add(async () => {
      const bySerial = new Map(revocations.map((revocation) => [revocation.serial, revocation]));
      const changes = [...bySerial.values()]
        .map((after) => ({ before: this.#revocations.get(after.serial), after }))
        .filter(({ before, after }) => before === undefined || (isHold(before) && !isHold(after)));
      if (changes.length === 0) return [];
      this.#checkLimit(changes.filter(({ before }) => before === undefined).length);
      const added = changes.map(({ after }) => after);
      await store.add(added, await eventsOf(changes, { at: clock.now(), by }));
      for (const revocation of added) this.#revocations.set(revocation.serial, revocation);
      this.#listeners.tell({ ...NO_CHANGE, revoked: added });
      return added;
    });
  }

  /**
   * Undoes the revocation of a certificate that is on hold. Durable when the promise resolves.
   * @returns the removed one @throws ERR_NOT_FOUND; ERR_REVOCATION if it is final; ERR_REVISION; ERR_STORE
   */
  remove(serial: string, by: Actor = SERVER): Promise<Revocation> {
    const { queue, store, clock } = this.#parts;
    return queue.add(async () => {
      const before = this.#revocations.get(serial);
      if (before === undefined) throw noSuchRevocation(serial);
      if (!isHold(before)) throw finalRevocation(before);
      await store.remove([before], [revocationEvent({ before, after: undefined }, { at: clock.now(), by })]);
      this.#revocations.delete(serial);
      this.#listeners.tell({ ...NO_CHANGE, restored: [before] });
      return before;
    });
  }

  /**
   * Removes the revocations of certificates that ended before `before` (milliseconds since the epoch), without rows of the
   * audit: nobody decides it, and the rows of the revocations have the ends.
   * @returns their number @throws ERR_STORE
   */
  removeEnded(before: number): Promise<number> {
    const { queue, store } = this.#parts;
    return queue.add(async () => {
      if (![...this.#revocations.values()].some(({ notAfter }) => notAfter < before)) return 0;
      const ended: Revocation[] = [];
      for (const serial of await store.removeEnded(before)) {
        const revocation = this.#revocations.get(serial);
        if (this.#revocations.delete(serial)) ended.push(revocation!);
      }
      if (ended.length > 0) this.#listeners.tell({ ...NO_CHANGE, ended });
      return ended.length;
    });
  }

  /**
   * Calls the listener after each durable change, once for each transaction. A listener is added once only.
   * @returns a function that removes it
   */
  onChange(listener: (change: RevocationChange) => void): () => void {
    return this.#listeners.add(listener);
  }

  #checkLimit(more: number): void {
    const { size, limit } = this;
    if (more === 0 || size + more <= limit) return;
    throw new SidekeyError(
      'ERR_REVOCATION',
      `${size} unexpired certificates are revoked, and ${more} more would exceed the limit of ${limit}: wait until revoked certificates end, or taint the authority that issued them, as docs/ca.md describes`,
    );
  }
}

function isHold({ reason }: Revocation): boolean {
  return reason === 'certificate-hold';
}

/** Newest first; those of the same moment by serial number. */
export function compareRevocations(a: Revocation, b: Revocation): number {
  return b.revokedAt - a.revokedAt || compareText(a.serial, b.serial);
}

/** In slices, so that the transaction only has to hash and insert the rows. */
async function eventsOf(changes: readonly Change<Revocation>[], by: { at: number; by: Actor }): Promise<EventBody[]> {
  const slices = new Slices();
  const events: EventBody[] = [];
  for (const change of changes) {
    events.push(bodyOf(revocationEvent(change, by)));
    if (slices.isOver()) await slices.next();
  }
  return events;
}
