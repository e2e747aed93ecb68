/** What the admin API does with relationships: the rules between a relationship, its bundle and its polls. */

import { type Actor, SERVER } from '../audit/index.ts';
import { SidekeyError } from '../base/index.ts';
import {
  type BundleInput,
  type FederatedBundle,
  type GivenRelationship,
  MAX_RELATIONSHIPS,
  type PutRelationship,
  type Registry,
  type Relationship,
} from '../registry/index.ts';
import { haveSameAuthorities, type TrustDomain, trustDomainOf } from '../spiffe/index.ts';
import type { Poller, PollOutcome } from './poller.ts';
import type { RelationshipMove, RelationshipStatus } from './status.ts';

/** A relationship with all that is known of it. */
export interface RelationshipView {
  readonly relationship: Relationship;
  readonly revision: number;
  readonly status: RelationshipStatus;
  readonly bundle: FederatedBundle | undefined;
}

export interface SetRelationship extends PutRelationship {
  /**
   * `replace`: the given bundle replaces the present one. `needed`: only if there is none, or the present one no longer
   * authenticates the endpoint, so that a file can be applied again and again.
   */
  readonly bundle: 'replace' | 'needed';
}

export interface SetOutcome {
  readonly view: RelationshipView;
  readonly change: 'created' | 'changed' | 'unchanged';
  /** Whether the given bundle was set. */
  readonly bundleSet: boolean;
  /** Why the first fetch failed; undefined: it succeeded, or nothing changed. */
  readonly fetchError: SidekeyError | undefined;
}

export interface FederationParts {
  readonly registry: Pick<Registry, 'trustDomain' | 'relationships' | 'federatedBundles'>;
  readonly poller: Poller;
}

export class Federation {
  readonly #registry: FederationParts['registry'];
  readonly #poller: Poller;

  constructor({ registry, poller }: FederationParts) {
    this.#registry = registry;
    this.#poller = poller;
  }

  /** Fetches by result. */
  get results(): Poller['results'] {
    return this.#poller.results;
  }

  /** Sorted by trust domain. */
  list(): RelationshipView[] {
    return this.#registry.relationships.list().map((relationship) => this.#view(relationship));
  }

  /** @throws ERR_NOT_FOUND */
  get(trustDomain: TrustDomain): RelationshipView {
    const relationship = this.#registry.relationships.get(trustDomain);
    if (relationship !== undefined) return this.#view(relationship);
    throw new SidekeyError(
      'ERR_NOT_FOUND',
      `there is no federation relationship with ${trustDomain}; sidekey federation list shows those that exist`,
    );
  }

  /**
   * Creates or replaces a relationship, and fetches once.
   * @throws ERR_BAD_INPUT if nothing says how the endpoint is known; ERR_RELATIONSHIP, ERR_NOT_FOUND, ERR_REVISION, ERR_STORE.
   * A failed fetch is not thrown
   */
  async set({ relationship, bundle }: GivenRelationship, how: SetRelationship): Promise<SetOutcome> {
    const { relationships, federatedBundles } = this.#registry;
    const { trustDomain } = relationship;
    const sets = bundle !== undefined && this.#isNeeded(trustDomain, bundle, how.bundle);
    this.#check(relationship, sets ? bundle : undefined, how);
    const { by = SERVER } = how;
    let before: Relationship | undefined;
    // Queued in the same turn, so that nothing is written in between: both are stored, or none. The bundle comes first,
    // because the relationship is polled at once.
    const [setting, putting] = await Promise.allSettled([
      sets
        ? federatedBundles.set(trustDomain, bundle, by, () => this.#check(relationship, bundle, how))
        : Promise.resolve(undefined),
      relationships.put(relationship, {
        ...how,
        check: () => {
          const present = federatedBundles.get(trustDomain);
          if (sets && (present === undefined || !haveSameAuthorities(present, bundle))) throw notSet(trustDomain);
          before = relationships.get(trustDomain);
        },
      }),
    ]);
    if (setting.status === 'rejected') throw setting.reason;
    if (putting.status === 'rejected') throw putting.reason;
    const { value, created } = putting.value;
    const change = created ? 'created' : value === before ? 'unchanged' : 'changed';
    let fetchError: SidekeyError | undefined;
    if (change !== 'unchanged' || sets) {
      try {
        await this.#poller.refresh(trustDomain);
      } catch (thrown) {
        fetchError = SidekeyError.from(thrown);
      }
    }
    return { view: this.get(trustDomain), change, bundleSet: sets, fetchError };
  }

  /** What {@link set} would do. @throws as `set` */
  preview({ relationship, bundle }: GivenRelationship, how: SetRelationship): Pick<SetOutcome, 'change' | 'bundleSet'> {
    const { relationships } = this.#registry;
    const sets = bundle !== undefined && this.#isNeeded(relationship.trustDomain, bundle, how.bundle);
    this.#check(relationship, sets ? bundle : undefined, how);
    return { change: relationships.effectOf(relationship), bundleSet: sets };
  }

  /**
   * Ends a relationship: its bundle is taken away too, whoever set it, so that no workload trusts the domain any more.
   * @throws ERR_NOT_FOUND, ERR_REVISION, ERR_STORE
   */
  async delete(trustDomain: TrustDomain, ifRevision?: number, by: Actor = SERVER): Promise<void> {
    const { relationships, federatedBundles } = this.#registry;
    const deleting = relationships.delete(trustDomain, ifRevision, by);
    // Queued in the same turn, so that nothing is written in between.
    const taking = federatedBundles.delete(trustDomain, by, () => {
      if (relationships.get(trustDomain) !== undefined) throw new SidekeyError('ERR_RELATIONSHIP', 'it is still there');
    });
    const [deleted, taken] = await Promise.allSettled([deleting, taking]);
    if (deleted.status === 'rejected') throw deleted.reason;
    // There may have been no bundle yet.
    if (taken.status === 'rejected' && SidekeyError.from(taken.reason).code !== 'ERR_NOT_FOUND') throw taken.reason;
  }

  /** @throws ERR_NOT_FOUND; ERR_FEDERATION with the reason */
  refresh(trustDomain: TrustDomain, force: boolean): Promise<PollOutcome> {
    return this.#poller.refresh(trustDomain, force);
  }

  /** Calls the listener when a relationship comes into another state. @returns a function that removes it */
  onMove(listener: (move: RelationshipMove) => void): () => void {
    return this.#poller.onMove(listener);
  }

  #view(relationship: Relationship): RelationshipView {
    const { trustDomain } = relationship;
    return {
      relationship,
      revision: this.#registry.relationships.revisionOf(trustDomain)!,
      status: this.#poller.status(trustDomain)!,
      bundle: this.#registry.federatedBundles.get(trustDomain),
    };
  }

  #isNeeded(trustDomain: TrustDomain, given: BundleInput, how: SetRelationship['bundle']): boolean {
    const present = this.#registry.federatedBundles.get(trustDomain);
    if (how === 'replace' || present === undefined) return true;
    const state = this.#poller.status(trustDomain)?.state;
    return (state === 'stale-bootstrap' || state === 'revoked') && !haveSameAuthorities(present, given);
  }

  /** All that would refuse it later, so that nothing is half done. */
  #check(relationship: GivenRelationship['relationship'], bundle: BundleInput | undefined, how: SetRelationship): void {
    const { relationships } = this.#registry;
    relationships.check(relationship, how);
    if (relationships.get(relationship.trustDomain) === undefined && relationships.size >= MAX_RELATIONSHIPS) {
      const problem = `there are ${MAX_RELATIONSHIPS} already`;
      throw SidekeyError.badInput([{ path: '', problem, rule: 'delete a relationship that is no longer needed' }]);
    }
    if (relationship.profile === 'https_spiffe') this.#checkKnown(relationship, bundle);
  }

  /** An endpoint of https_spiffe is known by the bundle of its trust domain (section 5.2.2). */
  #checkKnown(
    { trustDomain, endpointSpiffeId }: GivenRelationship['relationship'],
    bundle: BundleInput | undefined,
  ): void {
    const domain = trustDomainOf(endpointSpiffeId!);
    const { federatedBundles, trustDomain: own } = this.#registry;
    if (domain === own || (domain === trustDomain && bundle !== undefined)) return;
    const known = federatedBundles.get(domain);
    if (known !== undefined && known.x509Authorities.length > 0) return;
    throw SidekeyError.badInput([
      domain === trustDomain
        ? {
            path: '/trust_domain_bundle',
            problem: 'it is missing',
            rule: `an endpoint of https_spiffe is first known by the bundle of ${domain}: get that from its operator (SPIRE prints it with spire-server bundle show -format spiffe, Sidekey with sidekey bundle show --format spiffe)`,
          }
        : {
            path: '/endpoint_spiffe_id',
            problem: `it is in ${domain}, whose bundle is not known here`,
            rule: `set that bundle first: sidekey bundle set ${domain} --file BUNDLE; or create a relationship with ${domain}`,
          },
    ]);
  }
}

/** Only logged: the caller gets the error of the bundle. */
function notSet(trustDomain: TrustDomain): SidekeyError {
  return new SidekeyError(
    'ERR_STORE',
    `the bundle of ${trustDomain} was not stored, so the relationship is not either`,
  );
}
