/** Federation relationships with other trust domains: cached in memory, persistent in the store. */

import { type Actor, SERVER } from '../audit/index.ts';
import { type Clock, SidekeyError } from '../base/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { relationshipEvent } from './audit-events.ts';
import { Named, type Put } from './named.ts';
import type { Relationship, RelationshipInput } from './relationship.ts';
import { noSuchRelationship, staleName } from './store/conflict.ts';
import type { RelationshipStore } from './store/relationship-store.ts';
import type { WriteQueue } from './write-queue.ts';

/** The same as of bundles: each relationship brings one. */
export const MAX_RELATIONSHIPS = 1_000;

export interface RelationshipsParts {
  readonly store: RelationshipStore;
  readonly queue: WriteQueue;
  readonly clock: Clock;
  readonly log: Log;
}

export interface PutRelationship {
  /** `create`: there is none yet; `update`: there is one; `either`. */
  readonly as: 'create' | 'update' | 'either';
  /** The expected revision; undefined: any. */
  readonly ifRevision?: number | undefined;
  readonly by?: Actor;
  /** Called when the write is due; nothing is written if this throws. */
  readonly check?: () => void;
}

export class Relationships {
  readonly #relationships: Named<Relationship>;
  readonly #clock: Clock;

  private constructor(relationships: Named<Relationship>, clock: Clock) {
    this.#relationships = relationships;
    this.#clock = clock;
  }

  /** @throws ERR_STORE */
  static async open(parts: RelationshipsParts): Promise<Relationships> {
    const nameOf = ({ trustDomain }: Relationship) => trustDomain;
    const kind = { nameOf, eventOf: relationshipEvent, what: 'relationship', limit: MAX_RELATIONSHIPS };
    return new Relationships(await Named.open({ ...parts, ...kind }), parts.clock);
  }

  get(trustDomain: string): Relationship | undefined {
    return this.#relationships.get(trustDomain);
  }

  /** Increases with each change of the relationship; undefined: there is none. */
  revisionOf(trustDomain: string): number | undefined {
    return this.#relationships.revisionOf(trustDomain);
  }

  get size(): number {
    return this.#relationships.size;
  }

  /** Sorted by trust domain. */
  list(): Relationship[] {
    return this.#relationships.list();
  }

  /**
   * Creates or replaces the relationship with the input's trust domain. Durable when the promise resolves. An unchanged one
   * is neither written nor reported to listeners.
   * @throws ERR_RELATIONSHIP if there is one and none is expected; ERR_NOT_FOUND; ERR_REVISION; ERR_BAD_INPUT if there are
   * too many; ERR_STORE
   */
  put(input: RelationshipInput, { as, ifRevision, by = SERVER, check }: PutRelationship): Promise<Put<Relationship>> {
    return this.#relationships.put(input.trustDomain, by, (before) => {
      this.check(input, { as, ifRevision });
      check?.();
      if (before !== undefined && isSame(before, input)) return before;
      const now = this.#clock.now();
      return { ...input, createdAt: before?.createdAt ?? now, updatedAt: now };
    });
  }

  /** @throws ERR_RELATIONSHIP, ERR_NOT_FOUND and ERR_REVISION as {@link put} would now */
  check({ trustDomain }: RelationshipInput, { as, ifRevision }: Omit<PutRelationship, 'by'>): void {
    const isThere = this.#relationships.get(trustDomain) !== undefined;
    if (isThere && as === 'create') throw relationshipExists(trustDomain);
    if (!isThere && as === 'update') throw noSuchRelationship(trustDomain);
    if (ifRevision !== undefined) this.#checkRevision(trustDomain, ifRevision);
  }

  /** What {@link put} would do now. */
  effectOf(input: RelationshipInput): 'created' | 'changed' | 'unchanged' {
    const before = this.#relationships.get(input.trustDomain);
    if (before === undefined) return 'created';
    return isSame(before, input) ? 'unchanged' : 'changed';
  }

  /** Durable when the promise resolves. @throws ERR_NOT_FOUND, ERR_REVISION, ERR_STORE */
  delete(trustDomain: string, ifRevision?: number, by: Actor = SERVER): Promise<void> {
    return this.#relationships.delete(trustDomain, by, () => {
      if (ifRevision !== undefined) this.#checkRevision(trustDomain, ifRevision);
    });
  }

  /**
   * Calls the listener with the trust domain of each relationship that is created, changed or deleted.
   * @returns a function that removes it
   */
  onChange(listener: (trustDomain: TrustDomain) => void): () => void {
    return this.#relationships.onChange((name) => listener(name as TrustDomain));
  }

  #checkRevision(trustDomain: string, given: number): void {
    const present = this.#relationships.revisionOf(trustDomain);
    if (present === undefined) throw noSuchRelationship(trustDomain);
    if (present !== given) throw staleName('relationship', trustDomain, { present, given });
  }
}

function isSame(a: RelationshipInput, b: RelationshipInput): boolean {
  return (
    a.url === b.url &&
    a.profile === b.profile &&
    a.endpointSpiffeId === b.endpointSpiffeId &&
    a.endpointCa === b.endpointCa
  );
}

function relationshipExists(trustDomain: string): SidekeyError {
  return new SidekeyError(
    'ERR_RELATIONSHIP',
    `there is a federation relationship with ${trustDomain} already: change it with sidekey federation update`,
  );
}
