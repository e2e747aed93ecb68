/** Bundles of other trust domains, set by hand. Entries' `federates_with` decides who gets them. */

import { X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { haveSameAuthorities, makeTrustBundle } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { Log } from '../telemetry/log.ts';
import type { BundleInput, FederatedBundle } from './federated-bundle.ts';
import { Named, type Put } from './named.ts';
import type { BundleStore } from './store/bundle-store.ts';
import type { WriteQueue } from './write-queue.ts';

const MAX_BUNDLES = 1_000;

export interface FederatedBundlesParts {
  readonly store: BundleStore;
  readonly queue: WriteQueue;
  readonly clock: Clock;
  readonly log: Log;
}

export class FederatedBundles {
  readonly #bundles: Named<FederatedBundle>;
  readonly #clock: Clock;

  private constructor(bundles: Named<FederatedBundle>, clock: Clock) {
    this.#bundles = bundles;
    this.#clock = clock;
  }

  /** @throws ERR_STORE */
  static async open({ clock, ...parts }: FederatedBundlesParts): Promise<FederatedBundles> {
    const nameOf = (bundle: FederatedBundle) => bundle.trustDomain;
    return new FederatedBundles(await Named.open({ ...parts, nameOf, what: 'bundle', limit: MAX_BUNDLES }), clock);
  }

  get(trustDomain: string): FederatedBundle | undefined {
    return this.#bundles.get(trustDomain);
  }

  /** Sorted by trust domain. */
  list(): FederatedBundle[] {
    return this.#bundles.list();
  }

  /**
   * Durable when the promise is kept. A bundle that is the same as before is not written and told to nobody. Without a
   * sequence number of its own it has the next one, where its authorities are others.
   * @throws ERR_BAD_INPUT when there are too many; ERR_STORE
   */
  set(trustDomain: TrustDomain, input: BundleInput): Promise<Put<FederatedBundle>> {
    return this.#bundles.put(trustDomain, (before) => {
      const same = before !== undefined && haveSameAuthorities(before, input);
      const last = before?.sequenceNumber ?? 0;
      const sequenceNumber = input.sequenceNumber ?? (same ? last : last + 1);
      // PEM can't say how often to look: what was said before stays.
      const refreshHint = input.refreshHint ?? before?.refreshHint;
      if (same && sequenceNumber === last && refreshHint === before.refreshHint) return before;
      const roots = input.x509Authorities.map((der) => new X509Certificate(der));
      const { jwtAuthorities } = input;
      const bundle = makeTrustBundle({ trustDomain, roots, jwtAuthorities, sequenceNumber, refreshHint });
      return { ...bundle, updatedAt: this.#clock.now() };
    });
  }

  /** Durable when the promise is kept. @throws ERR_NOT_FOUND, ERR_STORE */
  delete(trustDomain: string): Promise<void> {
    return this.#bundles.delete(trustDomain);
  }

  /** Told when the bundle of this trust domain is set, changed or deleted. Returns the way to stop. */
  watch(trustDomain: TrustDomain, listener: () => void): () => void {
    return this.#bundles.watch(trustDomain, listener);
  }

  /** Told the trust domain of each bundle that is set, changed or deleted. Returns the way to stop. */
  onChange(listener: (trustDomain: TrustDomain) => void): () => void {
    return this.#bundles.onChange((name) => listener(name as TrustDomain));
  }
}
