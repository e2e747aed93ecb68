/**
 * The life cycle of the authorities: which root and intermediate sign now, which roots are in the bundle, and when that
 * changes. A review brings everything up to date; it runs at start, when the next change is due, and before a signature
 * if the intermediate is invalid or due for replacement.
 *
 * An intermediate is replaced after half of its life, so SVIDs of up to the other half get their full TTL. After a
 * clock jump in either direction only authorities that are valid at the new time sign. Expired roots stay on disk,
 * since a clock that jumped ahead may return.
 */

import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import { Listeners } from '../base/listeners.ts';
import { isValidAt } from '../base/validity.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { Log } from '../telemetry/log.ts';
import { type Authority, makeIntermediate, makeRoot } from './authority.ts';
import { ownBundle } from './bundle.ts';
import type { KeyStore, StoredAuthorities } from './key-store.ts';
import type { NamePart } from './name.ts';
import type { AuthorityInfo, TrustBundle } from './types.ts';

export interface AuthoritiesOptions {
  readonly trustDomain: TrustDomain;
  readonly store: KeyStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Lifetime of an intermediate, in seconds. */
  readonly caTtl: number;
  readonly subject: readonly NamePart[];
}

/** Time between a failed review and the next one, in milliseconds. */
const RETRY_MS = 30_000;

export class Authorities {
  readonly bundleChange: Listeners<TrustBundle>;
  readonly replaced: Listeners<void>;
  readonly #options: AuthoritiesOptions;
  /** Lifetime of an intermediate, in milliseconds. */
  readonly #life: number;
  readonly #roots: Authority[];
  #intermediates: Authority[];
  #current: Authority | undefined;
  #bundle: TrustBundle | undefined;
  #bundleIds = '';
  /** Issued SVIDs must be replaced, but the listeners have not been told yet. */
  #replacing = false;
  #reviewAt = 0;
  #reviewing: Promise<void> | undefined;
  #deadline: Deadline | undefined;
  #closed = false;

  private constructor(options: AuthoritiesOptions, stored: StoredAuthorities) {
    this.#options = options;
    this.#roots = stored.roots;
    this.#intermediates = stored.intermediates;
    this.#life = options.caTtl * 1000;
    const failed = (err: unknown) => options.log.error({ err }, 'authority listener failed');
    this.bundleChange = new Listeners(failed);
    this.replaced = new Listeners(failed);
  }

  /**
   * Loads the authorities and creates missing ones. @throws ERR_CA if a stored authority is unusable or a new one
   * cannot be stored
   */
  static async open(options: AuthoritiesOptions): Promise<Authorities> {
    const stored = await options.store.load();
    const authorities = new Authorities(options, stored);
    try {
      await authorities.#review();
    } catch (error) {
      await authorities.close();
      throw SidekeyError.from(error, 'ERR_CA', `the authorities could not be created: ${(error as Error).message}`);
    }
    return authorities;
  }

  bundle(): TrustBundle {
    return this.#bundle!;
  }

  /** Roots, then intermediates, without expired ones. */
  list(): AuthorityInfo[] {
    const now = this.#options.clock.now();
    return [...this.#roots, ...this.#intermediates]
      .filter((authority) => now < authority.notAfter)
      .map(({ id, role, notBefore, notAfter, subject }) => ({ id, role, notBefore, notAfter, subject }));
  }

  /** The authority that signs SVIDs now; replaces it first if that is due. @throws ERR_CA if none is valid */
  async signer(): Promise<Authority> {
    const { clock } = this.#options;
    let failure: unknown;
    // The first call may join a review that began before the clock jumped.
    for (let reviews = 0; reviews < 2 && this.#isDue(); reviews += 1) {
      failure = await this.#review().then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    const current = this.#current!;
    if (this.#closed) throw new SidekeyError('ERR_CA', 'the authority is closed');
    if (isValidAt(current, clock.now())) return current;
    throw new SidekeyError('ERR_CA', 'no authority is valid now, and none can be created', { cause: failure });
  }

  #isDue(): boolean {
    const now = this.#options.clock.now();
    return now >= this.#reviewAt || !isValidAt(this.#current!, now);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#deadline?.cancel();
    await this.#reviewing?.catch(() => undefined);
  }

  /** Runs one review at a time. A failure is logged, and another review is scheduled. */
  #review(): Promise<void> {
    this.#reviewing ??= this.#reviewNow()
      .catch((error: unknown) => {
        this.#options.log.error({ err: error, retry_ms: RETRY_MS }, 'the authorities could not be renewed');
        this.#reviewNextAt(this.#options.clock.now() + RETRY_MS);
        throw error;
      })
      .finally(() => {
        this.#reviewing = undefined;
      });
    return this.#reviewing;
  }

  async #reviewNow(): Promise<void> {
    const now = this.#options.clock.now();
    const root = latest(this.#roots.filter((r) => isValidAt(r, now))) ?? (await this.#newRoot(now));
    await this.#publish(now);
    const fit = this.#intermediates.filter((i) => this.#isFit(i, root, now));
    this.#current = latest(fit) ?? (await this.#newIntermediate(now, root));
    await this.#removeEnded(now);
    this.#reviewNextAt(Math.min(this.#renewalOf(this.#current, root), ...this.#inBundle(now).map((r) => r.notAfter)));
    if (this.#replacing) {
      this.#replacing = false;
      this.replaced.tell();
    }
  }

  async #newRoot(now: number): Promise<Authority> {
    const { trustDomain, subject, store, log } = this.#options;
    const root = await makeRoot({ trustDomain, subject, now });
    await store.save(root);
    const fields = { authority_id: root.id, not_after: new Date(root.notAfter) };
    if (this.#roots.length === 0) log.info(fields, 'root created');
    else {
      log.error(
        fields,
        'no root is valid at this time: created a new one; proxies trust it once they have the new bundle',
      );
      this.#replacing = true;
    }
    this.#roots.push(root);
    return root;
  }

  async #newIntermediate(now: number, root: Authority): Promise<Authority> {
    const { trustDomain, subject, store, log } = this.#options;
    const intermediate = await makeIntermediate({ trustDomain, subject, now }, root, this.#life);
    await store.save(intermediate);
    this.#intermediates.push(intermediate);
    log.info({ authority_id: intermediate.id, not_after: new Date(intermediate.notAfter) }, 'intermediate created');
    return intermediate;
  }

  /** True if it may sign and a new one would not last much longer. */
  #isFit(intermediate: Authority, root: Authority, now: number): boolean {
    const shortened = intermediate.notAfter - now > this.#life;
    return isValidAt(intermediate, now) && now < this.#renewalOf(intermediate, root) && !shortened;
  }

  /**
   * When to replace it: half a life before its end, or at its end if the root ends at the same time, since a new one
   * would not last longer.
   */
  #renewalOf(intermediate: Authority, root: Authority): number {
    const atRootsEnd = intermediate.notAfter >= root.notAfter;
    return atRootsEnd ? intermediate.notAfter : intermediate.notAfter - this.#life / 2;
  }

  #inBundle(now: number): Authority[] {
    return this.#roots.filter((root) => now < root.notAfter);
  }

  /** Publishes the bundle if its roots have changed. The new sequence number is on disk first. */
  async #publish(now: number): Promise<void> {
    const { trustDomain, store } = this.#options;
    const roots = this.#inBundle(now);
    const rootIds = roots.map((root) => root.id).sort();
    if (this.#bundle !== undefined && rootIds.join() === this.#bundleIds) return;
    const last = await store.loadBundleState();
    const same = last !== undefined && rootIds.join() === last.rootIds.join();
    const sequenceNumber = same ? last.sequenceNumber : (last?.sequenceNumber ?? 0) + 1;
    if (!same) await store.saveBundleState({ sequenceNumber, rootIds });
    const first = this.#bundle === undefined;
    this.#bundle = ownBundle(trustDomain, roots, sequenceNumber);
    this.#bundleIds = rootIds.join();
    if (!first) this.bundleChange.tell(this.#bundle);
  }

  async #removeEnded(now: number): Promise<void> {
    const ended = this.#intermediates.filter((intermediate) => intermediate.notAfter <= now);
    this.#intermediates = this.#intermediates.filter((intermediate) => now < intermediate.notAfter);
    for (const intermediate of ended) await this.#options.store.remove(intermediate);
  }

  #reviewNextAt(instant: number): void {
    this.#reviewAt = instant;
    this.#deadline?.cancel();
    if (this.#closed) return;
    this.#deadline = this.#options.clock.at(instant, () => {
      this.#review().catch(() => undefined); // #review has logged it and scheduled the next one
    });
  }
}

/** The authority with the latest end. */
function latest(authorities: readonly Authority[]): Authority | undefined {
  return authorities.reduce<Authority | undefined>(
    (best, authority) => (best === undefined || authority.notAfter > best.notAfter ? authority : best),
    undefined,
  );
}
