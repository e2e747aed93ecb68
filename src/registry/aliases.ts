/** Aliases: other names for SPIFFE IDs, such as the host names that on-demand secrets are asked for by. */

import type { Clock } from '../base/clock.ts';
import type { SpiffeId } from '../spiffe/id.ts';
import type { Log } from '../telemetry/log.ts';
import { type Alias, aliasKey } from './alias.ts';
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
  static async open({ clock, ...parts }: AliasesParts): Promise<Aliases> {
    return new Aliases(
      await Named.open({ ...parts, nameOf: (alias: Alias) => alias.host, what: 'alias', limit: MAX_ALIASES }),
      clock,
    );
  }

  /** In any case. */
  get(host: string): Alias | undefined {
    return this.#aliases.get(aliasKey(host));
  }

  /** Sorted by host. */
  list(): Alias[] {
    return this.#aliases.list();
  }

  /** Durable when the promise is kept. @throws ERR_BAD_INPUT when there are too many; ERR_STORE */
  set(host: string, spiffeId: SpiffeId): Promise<Put<Alias>> {
    const key = aliasKey(host);
    return this.#aliases.put(key, (before) => {
      if (before?.spiffeId === spiffeId) return before;
      const now = this.#clock.now();
      return { host: key, spiffeId, createdAt: before?.createdAt ?? now, updatedAt: now };
    });
  }

  /** Durable when the promise is kept. @throws ERR_NOT_FOUND, ERR_STORE */
  delete(host: string): Promise<void> {
    return this.#aliases.delete(aliasKey(host));
  }

  /** Told when the alias is set, changed or deleted. Returns the way to stop. */
  watch(host: string, listener: () => void): () => void {
    return this.#aliases.watch(aliasKey(host), listener);
  }

  /** Told the host of each alias that is set, changed or deleted. Returns the way to stop. */
  onChange(listener: (host: string) => void): () => void {
    return this.#aliases.onChange(listener);
  }
}
