/** Aliases: other names for SPIFFE IDs, such as the host names by which on-demand secrets are requested. */

import { type Actor, SERVER } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import type { SpiffeId } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { type Alias, aliasKey } from './alias.ts';
import { aliasEvent } from './audit-events.ts';
import { Named, type Put } from './named.ts';
import type { AliasStore } from './store/alias-store.ts';
import type { WriteQueue } from './write-queue.ts';

const MAX_ALIASES = 10_000;

export interface AliasesParts {
  readonly store: AliasStore;
  readonly queue: WriteQueue;
  readonly clock: Clock;
  readonly log: Log;
}

export class Aliases {
  readonly #aliases: Named<Alias>;
  readonly #clock: Clock;

  private constructor(aliases: Named<Alias>, clock: Clock) {
    this.#aliases = aliases;
    this.#clock = clock;
  }

  /** @throws ERR_STORE */
  static async open(parts: AliasesParts): Promise<Aliases> {
    const nameOf = (alias: Alias) => alias.host;
    const named = await Named.open({ ...parts, nameOf, eventOf: aliasEvent, what: 'alias', limit: MAX_ALIASES });
    return new Aliases(named, parts.clock);
  }

  /** Case-insensitive. */
  get(host: string): Alias | undefined {
    return this.#aliases.get(aliasKey(host));
  }

  get size(): number {
    return this.#aliases.size;
  }

  /** Sorted by host. */
  list(): Alias[] {
    return this.#aliases.list();
  }

  /** Durable when the promise resolves. @throws ERR_BAD_INPUT if there are too many; ERR_STORE */
  set(host: string, spiffeId: SpiffeId, by: Actor = SERVER): Promise<Put<Alias>> {
    const key = aliasKey(host);
    return this.#aliases.put(key, by, (before) => {
      if (before?.spiffeId === spiffeId) return before;
      const now = this.#clock.now();
      return { host: key, spiffeId, createdAt: before?.createdAt ?? now, updatedAt: now };
    });
  }

  /** Durable when the promise resolves. @throws ERR_NOT_FOUND, ERR_STORE */
  delete(host: string, by: Actor = SERVER): Promise<void> {
    return this.#aliases.delete(aliasKey(host), by);
  }

  /** Calls the listener when the alias is set, changed or deleted. @returns a function that removes it */
  watch(host: string, listener: () => void): () => void {
    return this.#aliases.watch(aliasKey(host), listener);
  }

  /**
   * Calls the listener with the host of each alias that is set, changed or deleted.
   * @returns a function that removes it
   */
  onChange(listener: (host: string) => void): () => void {
    return this.#aliases.onChange(listener);
  }
}
