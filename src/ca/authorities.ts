/**
 * The life cycle of the authorities: which root and intermediate sign now, which roots are in the bundle, and when that
 * changes. A review brings everything up to date; it runs at start, when the next change is due, and before a signature
 * if the intermediate is invalid or due for replacement.
 *
 * An intermediate is replaced after half of its life, so SVIDs of up to the other half get their full TTL. After a
 * clock jump in either direction only authorities that are valid at the new time sign. Expired roots stay on disk,
 * since a clock that jumped ahead may return.
 */

import { isDeepStrictEqual } from 'node:util';
import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import { Listeners } from '../base/listeners.ts';
import { isValidAt } from '../base/validity.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { Log } from '../telemetry/log.ts';
import { type Authority, isUnder, makeIntermediate, makeRoot } from './authority.ts';
import { ownBundle } from './bundle.ts';
import type { AuthorityState, KeyStore, StoredAuthorities } from './key-store.ts';
import type { NamePart } from './name.ts';
import { localSigner, type Signer } from './signer.ts';
import { activate, choose, isTrusted, type Slot } from './slot.ts';
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
  #roots: Slot[];
  #intermediates: Slot[];
  /** What is on disk. */
  #state: AuthorityState;
  #signer: Signer | undefined;
  #bundle: TrustBundle | undefined;
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
    this.#state = stored.state;
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
      .filter(({ authority }) => now < authority.notAfter)
      .map(({ authority: { id, role, notBefore, notAfter, subject }, state }) => {
        return { id, role, state, notBefore, notAfter, subject };
      });
  }

  /** The authority that signs SVIDs now; replaces it first if that is due. @throws ERR_CA if none is valid */
  async signer(): Promise<Signer> {
    const { clock } = this.#options;
    let failure: unknown;
    // The first call may join a review that began before the clock jumped.
    for (let reviews = 0; reviews < 2 && this.#isDue(); reviews += 1) {
      failure = await this.#review().then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    const signer = this.#signer!;
    if (this.#closed) throw new SidekeyError('ERR_CA', 'the authority is closed');
    if (isValidAt(signer, clock.now())) return signer;
    throw new SidekeyError('ERR_CA', 'no authority is valid now, and none can be created', { cause: failure });
  }

  #isDue(): boolean {
    const now = this.#options.clock.now();
    return now >= this.#reviewAt || !isValidAt(this.#signer!, now);
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
    const root = choose(this.#roots, now) ?? (await this.#newRoot(now));
    const isFit = ({ authority }: Slot) => this.#isFit(authority, root.authority, now);
    const intermediate = choose(this.#intermediates, now, isFit) ?? (await this.#newIntermediate(now, root.authority));
    const roots = activate(this.#roots, root);
    const hasEnded = ({ authority }: Slot) => authority.notAfter <= now;
    const ended = this.#intermediates.filter(hasEnded);
    const intermediates = activate(this.#intermediates, intermediate).filter((slot) => !hasEnded(slot));
    const trusted = roots.filter((slot) => isTrusted(slot, now)).map(({ authority }) => authority);
    await this.#save([...roots, ...intermediates], trusted);
    this.#roots = roots;
    this.#intermediates = intermediates;
    for (const { authority } of ended) await this.#options.store.remove(authority);
    if (this.#signer?.id !== intermediate.authority.id) this.#signer = localSigner(intermediate.authority);
    const renewal = this.#renewalOf(intermediate.authority, root.authority);
    this.#reviewNextAt(Math.min(renewal, ...trusted.map(({ notAfter }) => notAfter)));
    this.#publish(trusted);
    if (this.#replacing) {
      this.#replacing = false;
      this.replaced.tell();
    }
  }

  async #newRoot(now: number): Promise<Slot> {
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
    const slot: Slot = { authority: root, state: 'prepared' };
    this.#roots.push(slot);
    return slot;
  }

  async #newIntermediate(now: number, root: Authority): Promise<Slot> {
    const { trustDomain, subject, store, log } = this.#options;
    const intermediate = await makeIntermediate({ trustDomain, subject, now }, root, this.#life);
    await store.save(intermediate);
    log.info({ authority_id: intermediate.id, not_after: new Date(intermediate.notAfter) }, 'intermediate created');
    const slot: Slot = { authority: intermediate, state: 'prepared' };
    this.#intermediates.push(slot);
    return slot;
  }

  /** True if it is under this root and a new one would not last much longer. */
  #isFit(intermediate: Authority, root: Authority, now: number): boolean {
    const shortened = intermediate.notAfter - now > this.#life;
    return isUnder(intermediate, root) && now < this.#renewalOf(intermediate, root) && !shortened;
  }

  /**
   * When to replace it: half a life before its end, or at its end if the root ends at the same time, since a new one
   * would not last longer.
   */
  #renewalOf(intermediate: Authority, root: Authority): number {
    const atRootsEnd = intermediate.notAfter >= root.notAfter;
    return atRootsEnd ? intermediate.notAfter : intermediate.notAfter - this.#life / 2;
  }

  /** Stores the states and the bundle's number in one write, if anything changed. @param trusted the bundle's roots */
  async #save(slots: readonly Slot[], trusted: readonly Authority[]): Promise<void> {
    const rootIds = trusted.map(({ id }) => id).sort();
    const states = Object.fromEntries(slots.map(({ authority, state }) => [authority.id, state]));
    const isSame = isDeepStrictEqual(rootIds, this.#state.rootIds);
    const sequenceNumber = this.#state.sequenceNumber + (isSame ? 0 : 1);
    const state = { sequenceNumber, rootIds, states };
    if (isDeepStrictEqual(state, this.#state)) return;
    await this.#options.store.saveState(state);
    this.#state = state;
  }

  /** Announces the bundle if it has changed; its number is on disk by now. */
  #publish(trusted: readonly Authority[]): void {
    const before = this.#bundle;
    if (before?.sequenceNumber === this.#state.sequenceNumber) return;
    this.#bundle = ownBundle(this.#options.trustDomain, trusted, this.#state.sequenceNumber);
    if (before !== undefined) this.bundleChange.tell(this.#bundle);
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
