/** Bundles of other trust domains, set by an operator. Callers get them through `federates_with` of their entries. */

import { X509Certificate } from 'node:crypto';
import { type Actor, SERVER } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import { haveSameAuthorities, makeTrustBundle, type TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { bundleEvent } from './audit-events.ts';
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
  static async open(parts: FederatedBundlesParts): Promise<FederatedBundles> {
    const nameOf = (bundle: FederatedBundle) => bundle.trustDomain;
    const named = await Named.open({ ...parts, nameOf, eventOf: bundleEvent, what: 'bundle', limit: MAX_BUNDLES });
    return new FederatedBundles(named, parts.clock);
  }

  get(trustDomain: string): FederatedBundle | undefined {
    return this.#bundles.get(trustDomain);
  }

  /** Sorted by trust domain. */
  list(): FederatedBundle[] {
    return this.#bundles.list();
  }

  /**
   * Durable when the promise resolves. An unchanged bundle is neither written nor reported to listeners. If the input
   * has no sequence number and other authorities than before, the number increases by one.
   * @throws ERR_BAD_INPUT if there are too many; ERR_STORE
   */
  set(trustDomain: TrustDomain, input: BundleInput, by: Actor = SERVER): Promise<Put<FederatedBundle>> {
    return this.#bundles.put(trustDomain, by, (before) => {
      const same = before !== undefined && haveSameAuthorities(before, input);
      const last = before?.sequenceNumber ?? 0;
      const sequenceNumber = input.sequenceNumber ?? (same ? last : last + 1);
      // PEM has no refresh hint; the former one stays.
      const refreshHint = input.refreshHint ?? before?.refreshHint;
      if (same && sequenceNumber === last && refreshHint === before.refreshHint) return before;
      const roots = input.x509Authorities.map((der) => new X509Certificate(der));
      const { jwtAuthorities } = input;
      const bundle = makeTrustBundle({ trustDomain, roots, jwtAuthorities, sequenceNumber, refreshHint });
      return { ...bundle, updatedAt: this.#clock.now() };
    });
  }

  /** Durable when the promise resolves. @throws ERR_NOT_FOUND, ERR_STORE */
  delete(trustDomain: string, by: Actor = SERVER): Promise<void> {
    return this.#bundles.delete(trustDomain, by);
  }

  /**
   * Calls the listener when this trust domain's bundle is set, changed or deleted.
   * @returns a function that removes it
   */
  watch(trustDomain: TrustDomain, listener: () => void): () => void {
    return this.#bundles.watch(trustDomain, listener);
  }

  /**
   * Calls the listener with the trust domain of each bundle that is set, changed or deleted.
   * @returns a function that removes it
   */
  onChange(listener: (trustDomain: TrustDomain) => void): () => void {
    return this.#bundles.onChange((name) => listener(name as TrustDomain));
  }
}
