/**
 * The registry of an agent: what its server says of entries, bundles, aliases and revocations, in memory. All entries are
 * for this host. It refuses nothing: the server has checked what it keeps, and the agent what it reads.
 */

import { isDeepStrictEqual } from 'node:util';
import { KeyedListeners, tellEach } from '../base/index.ts';
import { compareText, type SpiffeId, type TrustBundle, type TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { aliasKey } from './alias.ts';
import { IndexedEntries, type IndexedEntriesParts } from './indexed-entries.ts';
import type { Entry, RegistryView } from './types.ts';

/** What changes of the entries. */
export interface MirroredChange {
  /** The put ones are all: others are gone. */
  readonly whole: boolean;
  readonly put: readonly Entry[];
  /** Ids. */
  readonly gone: readonly string[];
}

export class MirroredRegistry extends IndexedEntries implements RegistryView {
  readonly federatedBundles: MirroredValues<TrustBundle, TrustDomain>;
  readonly aliases: MirroredAliases;
  #revoked: ReadonlySet<string> = new Set();

  constructor(parts: Omit<IndexedEntriesParts, 'hasAgents'>) {
    super(parts);
    this.federatedBundles = new MirroredValues(parts.log);
    this.aliases = new MirroredAliases(parts.log);
  }

  readonly revocations = {
    /** Undefined: the SVID with this serial number is not revoked. */
    get: (serial: string) => (this.#revoked.has(serial) ? { serial } : undefined),
  };

  /** An entry that is as before is no change. */
  change({ whole, put, gone }: MirroredChange): void {
    const leaving = new Set(gone);
    if (whole) {
      const staying = new Set(put.map(({ id }) => id));
      for (const { id } of this.all()) if (!staying.has(id)) leaving.add(id);
    }
    const deleted = [...leaving].map((id) => this.get(id)).filter((entry) => entry !== undefined);
    this.apply(deleted, put.filter(isOther(this)));
  }

  /** @param serials of all revoked SVIDs, lower-case hex */
  revoke(serials: ReadonlySet<string>): void {
    this.#revoked = serials;
  }

  close(): void {
    this.release();
  }
}

function isOther(entries: Pick<MirroredRegistry, 'get'>): (entry: Entry) => boolean {
  return (entry) => {
    const known = entries.get(entry.id);
    return known === undefined || !isDeepStrictEqual(known, entry);
  };
}

/** Values by name, and who listens to their changes. */
class MirroredValues<T extends object, Name extends string> {
  readonly #log: Log;
  readonly #values = new Map<Name, T>();
  readonly #ofAny = new Set<(name: Name) => void>();
  readonly #ofOne = new KeyedListeners<Name>();

  constructor(log: Log) {
    this.#log = log;
  }

  get(name: string): T | undefined {
    return this.#values.get(name as Name);
  }

  /** Sorted by name. */
  list(): T[] {
    return [...this.#values].sort(([a], [b]) => compareText(a, b)).map(([, value]) => value);
  }

  names(): Name[] {
    return [...this.#values.keys()];
  }

  put(name: Name, value: T): void {
    this.#values.set(name, value);
    this.#tell(name);
  }

  delete(name: Name): void {
    if (this.#values.delete(name)) this.#tell(name);
  }

  watch(name: Name, listener: () => void): () => void {
    return this.#ofOne.add(name, listener);
  }

  onChange(listener: (name: Name) => void): () => void {
    this.#ofAny.add(listener);
    return () => this.#ofAny.delete(listener);
  }

  #tell(name: Name): void {
    tellEach([...this.#ofOne.of(name), ...this.#ofAny], name, (err) =>
      this.#log.error({ err }, 'a listener for changes of the registry threw an error'),
    );
  }
}

/** Names in any case. */
class MirroredAliases {
  readonly #aliases: MirroredValues<{ readonly spiffeId: SpiffeId }, string>;

  constructor(log: Log) {
    this.#aliases = new MirroredValues(log);
  }

  get(host: string): { readonly spiffeId: SpiffeId } | undefined {
    return this.#aliases.get(aliasKey(host));
  }

  watch(host: string, listener: () => void): () => void {
    return this.#aliases.watch(aliasKey(host), listener);
  }

  /** All aliases: others are gone. */
  replace(aliases: readonly { readonly host: string; readonly spiffeId: SpiffeId }[]): void {
    const given = new Map(aliases.map(({ host, spiffeId }) => [aliasKey(host), spiffeId]));
    for (const name of this.#aliases.names()) if (!given.has(name)) this.#aliases.delete(name);
    for (const [name, spiffeId] of given) {
      if (this.#aliases.get(name)?.spiffeId !== spiffeId) this.#aliases.put(name, { spiffeId });
    }
  }
}
