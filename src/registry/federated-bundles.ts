/**
 * Bundles of other trust domains, set by an operator or fetched by the poller. Callers get them through `federates_with`
 * of their entries.
 */

import { X509Certificate } from 'node:crypto';
import { type Actor, SERVER } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import { haveSameAuthorities, makeTrustBundle, type TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { bundleEvent } from './audit-events.ts';
import type { BundleInput, BundleSource, FederatedBundle } from './federated-bundle.ts';
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
   * has no sequence number that fits a number, and other authorities than before, the number increases by one.
   * @param check called when the write is due; nothing is written if this throws
   * @throws ERR_BAD_INPUT if there are too many; ERR_STORE; what `check` throws
   */
  set(
    trustDomain: TrustDomain,
    input: BundleInput,
    by: Actor = SERVER,
    check?: () => void,
  ): Promise<Put<FederatedBundle>> {
    return this.#bundles.put(trustDomain, by, (before) => {
      check?.();
      return this.#next(trustDomain, input, before, 'manual');
    });
  }

  /**
   * Stores what the poller fetched. Otherwise like {@link set}.
   * @param mayStore called when the write is due; false: the bundle stays as it is
   */
  setPolled(
    trustDomain: TrustDomain,
    input: BundleInput,
    mayStore: () => boolean,
  ): Promise<Put<FederatedBundle | undefined>> {
    return this.#bundles.put<FederatedBundle | undefined>(trustDomain, SERVER, (before) =>
      mayStore() ? this.#next(trustDomain, input, before, 'polled') : before,
    );
  }

  #next(
    trustDomain: TrustDomain,
    input: BundleInput,
    before: FederatedBundle | undefined,
    source: BundleSource,
  ): FederatedBundle {
    const same = before !== undefined && haveSameAuthorities(before, input);
    const last = before?.sequenceNumber ?? 0;
    const statedSequence = input.sequenceNumber;
    const sequenceNumber = toNumber(statedSequence) ?? (same ? last : last + 1);
    // PEM has no refresh hint; the former one stays.
    const refreshHint = input.refreshHint ?? (source === 'manual' ? before?.refreshHint : undefined);
    const isUnchanged =
      same &&
      sequenceNumber === last &&
      refreshHint === before.refreshHint &&
      (statedSequence === before.statedSequence || (statedSequence === undefined && source === 'manual')) &&
      // The same bundle, set by hand, is still the one that was fetched.
      (source === before.source || source === 'manual');
    if (isUnchanged) return before;
    const roots = input.x509Authorities.map((der) => new X509Certificate(der));
    const { jwtAuthorities } = input;
    const bundle = makeTrustBundle({ trustDomain, roots, jwtAuthorities, sequenceNumber, refreshHint });
    return { ...bundle, source, statedSequence, updatedAt: this.#clock.now() };
  }

  /**
   * Durable when the promise resolves.
   * @param check called when the deletion is due; it is not done if this throws
   * @throws ERR_NOT_FOUND, ERR_STORE; what `check` throws
   */
  delete(trustDomain: string, by: Actor = SERVER, check?: () => void): Promise<void> {
    return this.#bundles.delete(trustDomain, by, check);
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

/** Undefined if a number can't have it exactly. */
function toNumber(sequence: bigint | undefined): number | undefined {
  return sequence !== undefined && sequence <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(sequence) : undefined;
}
