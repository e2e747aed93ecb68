/** Objects that an operator sets under a name, one per name: cached in memory, persistent in the store. */

import type { Actor, AuditEvent } from '../audit/index.ts';
import { type Clock, KeyedListeners, SidekeyError, tellEach } from '../base/index.ts';
import { compareText } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { By, Change } from './audit-events.ts';
import { noSuchName } from './store/conflict.ts';
import type { NamedStore, Revisioned } from './store/named-store.ts';
import type { WriteQueue } from './write-queue.ts';

export interface NamedParts<T> {
  readonly store: NamedStore<T>;
  readonly nameOf: (value: T) => string;
  /** The singular noun for messages: `bundle`. */
  readonly what: string;
  /** Maximum number of objects. */
  readonly limit: number;
  /** The row of the audit for a change; undefined: it has none. */
  readonly eventOf: (change: Change<T>, by: By) => AuditEvent | undefined;
  readonly queue: WriteQueue;
  readonly clock: Clock;
  readonly log: Log;
}

/** The stored object, and whether it is new. */
export interface Put<T> {
  readonly value: T;
  readonly created: boolean;
}

export class Named<T extends object> {
  readonly #parts: NamedParts<T>;
  readonly #values: Map<string, Revisioned<T>>;
  readonly #ofAny = new Set<(name: string) => void>();
  readonly #ofOne = new KeyedListeners<string>();

  private constructor(parts: NamedParts<T>, values: readonly Revisioned<T>[]) {
    this.#parts = parts;
    this.#values = new Map(values.map((version) => [parts.nameOf(version.value), version]));
  }

  /** @throws ERR_STORE */
  static async open<T extends object>(parts: NamedParts<T>): Promise<Named<T>> {
    return new Named(parts, await parts.store.load());
  }

  get(name: string): T | undefined {
    return this.#values.get(name)?.value;
  }

  /** Changes with each version of the object; undefined: there is none. */
  revisionOf(name: string): number | undefined {
    return this.#values.get(name)?.revision;
  }

  get size(): number {
    return this.#values.size;
  }

  /** Sorted by name. */
  list(): T[] {
    return [...this.#values].sort(([a], [b]) => compareText(a, b)).map(([, { value }]) => value);
  }

  /**
   * Replaces the object with the result of `make`. If `make` returns the same object, nothing is written or reported to
   * listeners.
   * @param write writes the result instead of the store's `put`
   * @throws ERR_BAD_INPUT if the limit is reached; what `make` throws
   */
  put<R extends T | undefined = T>(
    name: string,
    by: Actor,
    make: (before: T | undefined) => R,
    write: NamedStore<T>['put'] = (...given) => this.#parts.store.put(...given),
  ): Promise<Put<R>> {
    const { queue, limit, what } = this.#parts;
    return queue.add(async () => {
      const before = this.#values.get(name);
      if (before === undefined && this.#values.size >= limit) {
        const problem = `there are ${limit} already`;
        throw SidekeyError.badInput([{ path: '', problem, rule: `at most ${limit} of the kind ${what}: delete one` }]);
      }
      const value = make(before?.value);
      if (value !== undefined && value !== before?.value) {
        const events = this.#events({ before: before?.value, after: value }, by);
        const revision = await write(value, before?.revision, events);
        this.#values.set(name, { value, revision });
        this.#tell(name);
      }
      return { value, created: before === undefined };
    });
  }

  /** @param check called with the object when its deletion is due @throws ERR_NOT_FOUND; what `check` throws */
  delete(name: string, by: Actor, check?: (value: T, revision: number) => void): Promise<void> {
    const { queue, store } = this.#parts;
    return queue.add(async () => {
      const { revision, events, done } = this.deletion(name, by);
      check?.(this.#values.get(name)!.value, revision);
      await store.delete(name, revision, events);
      done();
    });
  }

  /**
   * For a write that deletes this object together with a change of another kind, as `write` of the other's `put`: what it
   * needs, and `done`, to be called when it is durable. @throws ERR_NOT_FOUND
   */
  deletion(name: string, by: Actor): { revision: number; events: readonly AuditEvent[]; done: () => void } {
    const version = this.#values.get(name);
    if (version === undefined) throw noSuchName(this.#parts.what, name);
    return {
      revision: version.revision,
      events: this.#events({ before: version.value, after: undefined }, by),
      done: () => {
        this.#values.delete(name);
        this.#tell(name);
      },
    };
  }

  /**
   * Calls the listener when the object with this name is set, changed or deleted. A listener is added once only.
   * @returns a function that removes it
   */
  watch(name: string, listener: () => void): () => void {
    return this.#ofOne.add(name, listener);
  }

  /**
   * Calls the listener with the name of each object that is set, changed or deleted. A listener is added once only.
   * @returns a function that removes it
   */
  onChange(listener: (name: string) => void): () => void {
    this.#ofAny.add(listener);
    return () => this.#ofAny.delete(listener);
  }

  #events(change: Change<T>, by: Actor): AuditEvent[] {
    const { eventOf, clock } = this.#parts;
    return [eventOf(change, { at: clock.now(), by })].filter((event) => event !== undefined);
  }

  #tell(name: string): void {
    tellEach([...this.#ofOne.of(name), ...this.#ofAny], name, (err) =>
      this.#parts.log.error({ err }, `a listener for ${this.#parts.what} changes threw an error`),
    );
  }
}
