/**
 * The life cycle of the authorities: which root and intermediate sign, which roots are in the bundle, and when that
 * changes. A review brings everything up to date. It runs at start, when the next change is due, and before a signature
 * if the intermediate is invalid or due for replacement. Each review stores the keys that it made, then all states in one
 * write, and only then publishes and signs; so a crash leaves either the states before or those after.
 *
 * An intermediate is replaced after half of its life, so SVIDs of up to the other half get their full TTL. A root is
 * replaced after half of its life by one that was published before (`rotation.ts`). After a clock jump in either
 * direction only authorities that are valid at the new time sign. Expired roots stay on disk, since a clock that jumped
 * ahead may return.
 */

import { isDeepStrictEqual } from 'node:util';
import type { Clock, Deadline } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import { Listeners } from '../base/listeners.ts';
import { isValidAt } from '../base/validity.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { AuthorityKeyType } from '../spiffe/key-types.ts';
import type { Log } from '../telemetry/log.ts';
import { type Authority, type AuthorityRole, isUnder, makeIntermediate, makeRoot } from './authority.ts';
import { ownBundle } from './bundle.ts';
import type { AuthorityState, KeyStore, StoredAuthorities } from './key-store.ts';
import type { NamePart } from './name.ts';
import { type Activation, activationOf, type RotationTerms, rootDueAt } from './rotation.ts';
import { localSigner, type Signer } from './signer.ts';
import { activate, choose, isTrusted, moved, type Slot } from './slot.ts';
import type { AuthorityInfo, LaggingProxy, TrustBundle } from './types.ts';

export interface AuthoritiesOptions {
  readonly trustDomain: TrustDomain;
  readonly store: KeyStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly subject: readonly NamePart[];
  /** Of new authorities. */
  readonly keyType: AuthorityKeyType;
  readonly terms: RotationTerms;
  /** The proxies that have not acknowledged the bundle with this sequence number. */
  readonly lagging: (sequenceNumber: number) => Iterable<LaggingProxy>;
}

/** While so many are valid, operators can replace none. The bundle has every root. */
const LIMITS: Readonly<Record<AuthorityRole, number>> = { root: 8, intermediate: 64 };
/** Proxies that delay a rotation are logged after this time, and then at this interval, this many; in milliseconds. */
const LAGGING_LOGGED_AFTER_MS = 10_000;
const LAGGING_LOGGED_EACH_MS = 3_600_000;
const LAGGING_LOGGED = 10;
/** Time between a failed review and the next one, in milliseconds. */
const RETRY_MS = 30_000;

export class Authorities {
  readonly bundleChange: Listeners<TrustBundle>;
  readonly replaced: Listeners<void>;
  readonly #options: AuthoritiesOptions;
  readonly #terms: RotationTerms;
  readonly #startedAt: number;
  #roots: Slot[];
  #intermediates: Slot[];
  /** What is on disk. */
  #state: AuthorityState;
  #signer: Signer | undefined;
  #bundle: TrustBundle | undefined;
  /** Issued SVIDs must be replaced, but the listeners have not been told yet. */
  #replacing = false;
  /** What an operator asked to be replaced at the next review. */
  readonly #asked = new Set<AuthorityRole>();
  /** When the proxies that delay the rotation are logged again, in milliseconds since the epoch. */
  #logLaggingAt = 0;
  #reviewAt = 0;
  #reviewing: Promise<void> | undefined;
  #deadline: Deadline | undefined;
  #closed = false;

  private constructor(options: AuthoritiesOptions, stored: StoredAuthorities) {
    this.#options = options;
    this.#roots = stored.roots;
    this.#intermediates = stored.intermediates;
    this.#state = stored.state;
    this.#startedAt = options.clock.now();
    this.#terms = options.terms;
    const failed = (err: unknown) => options.log.error({ err }, 'authority listener failed');
    this.bundleChange = new Listeners(failed);
    this.replaced = new Listeners(failed);
  }

  /**
   * Loads the authorities and creates missing ones. @throws ERR_CA if a stored authority is unusable or a new one
   * cannot be stored
   */
  static async open(options: AuthoritiesOptions): Promise<Authorities> {
    const stored = await options.store.load(options.clock.now());
    if (stored.rewritten > 0) {
      options.log.info(
        { keys: stored.rewritten },
        'keys of authorities were encrypted or decrypted, as the settings say',
      );
    }
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
      .map(({ authority: { id, role, keyType, notBefore, notAfter, subject }, state, since }) => {
        return { id, role, keyType, state, since, notBefore, notAfter, subject };
      });
  }

  /** The proxies that a published root waits for; empty if there is no such root, or if all have it. */
  lagging(): Iterable<LaggingProxy> {
    return this.#next(undefined) === undefined ? [] : this.#options.lagging(this.bundle().sequenceNumber);
  }

  /**
   * Replaces an authority: an intermediate at once; a root by one that is published now and signs when all proxies
   * have it. A rotation that is going on is not begun again.
   * @throws ERR_ROTATION_LIMIT; ERR_CA if the new one cannot be made or stored
   */
  async rotate(role: AuthorityRole): Promise<void> {
    // A review that is running may have passed the place where it would see the wish.
    await this.#reviewing?.catch(() => undefined);
    this.#checkLimit(role);
    this.#asked.add(role);
    try {
      await this.#review();
    } catch (error) {
      throw SidekeyError.from(error, 'ERR_CA', `the ${role} could not be replaced: ${(error as Error).message}`);
    } finally {
      this.#asked.delete(role);
    }
  }

  /** @throws ERR_ROTATION_LIMIT if too many of the replaced ones are still valid: each is in the bundle or on disk */
  #checkLimit(role: AuthorityRole): void {
    const now = this.#options.clock.now();
    const slots = role === 'root' ? this.#roots : this.#intermediates;
    const used = slots.filter(({ authority, state }) => state !== 'prepared' && now < authority.notAfter).length;
    const limit = LIMITS[role];
    if (used < limit) return;
    throw new SidekeyError(
      'ERR_ROTATION_LIMIT',
      `${used} ${role}s are still valid; another one is made when fewer than ${limit} are: see sidekey ca show`,
    );
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
    const active = choose(this.#roots, now) ?? (await this.#newRoot(now));
    const next = this.#next(active) ?? (this.#mayReplaceRoot(active, now) ? await this.#nextRoot(now) : undefined);
    const activation = next && this.#activationOf(next, active, now);
    const root = activation?.isDue === true ? next! : active;
    const isFit = (slot: Slot) => this.#isFit(slot, root.authority, now);
    const intermediate = choose(this.#intermediates, now, isFit) ?? (await this.#newIntermediate(now, root.authority));

    const intermediates = activate(this.#intermediates, intermediate, now).filter(({ authority }) => {
      return now < authority.notAfter;
    });
    const roots = activate(this.#roots, root, now)
      .map((slot) => (slot === next ? moved(slot, 'published', now) : slot))
      .filter((slot) => !this.#isGone(slot, intermediates, now));
    // An intermediate is removed before its root: without the root it could not be read.
    const gone = [...this.#intermediates, ...this.#roots].filter(({ authority }) => {
      return ![...roots, ...intermediates].some((slot) => slot.authority === authority);
    });
    const trusted = roots.filter((slot) => isTrusted(slot, now)).map(({ authority }) => authority);
    await this.#save([...roots, ...intermediates], gone, trusted, now);
    this.#roots = roots;
    this.#intermediates = intermediates;
    for (const { authority } of gone) await this.#remove(authority);
    if (this.#asked.has('intermediate')) this.#replacing = true;
    if (this.#signer !== undefined && !isUnder(this.#signer, root.authority)) this.#replacing = true;
    if (this.#signer?.id !== intermediate.authority.id) this.#signer = localSigner(intermediate.authority);
    this.#reviewNextAt(
      Math.min(
        this.#renewalOf(intermediate.authority, root.authority),
        next === undefined && now < rootDueAt(root.authority) ? rootDueAt(root.authority) : Number.POSITIVE_INFINITY,
        activation?.isDue === false ? activation.lookAt : Number.POSITIVE_INFINITY,
        ...trusted.map(({ notAfter }) => notAfter),
        ...intermediates.map(({ authority }) => authority.notAfter),
      ),
    );
    if (activation?.isDue === true) this.#rootActivated(root.authority, activation.lagging);
    this.#publish(trusted);
    if (this.#replacing) {
      this.#replacing = false;
      this.replaced.tell();
    }
  }

  /** The published root that will replace this one. */
  #next(active: Slot | undefined): Slot | undefined {
    const now = this.#options.clock.now();
    return choose(this.#roots, now, (slot) => slot.state === 'published' && slot !== active);
  }

  #mayReplaceRoot({ authority }: Slot, now: number): boolean {
    const isDue = now >= rootDueAt(authority) || this.#asked.has('root');
    return isDue && this.#roots.filter((slot) => isTrusted(slot, now)).length < LIMITS.root;
  }

  /** The root to publish: one that was left from a rotation that did not get further, or a new one. */
  async #nextRoot(now: number): Promise<Slot> {
    const isFresh = ({ authority, state }: Slot) => state === 'prepared' && now < rootDueAt(authority);
    const next = choose(this.#roots, now, isFresh) ?? (await this.#storeRoot(now));
    const { id, notAfter } = next.authority;
    this.#options.log.info({ authority_id: id, not_after: new Date(notAfter) }, 'new root is published');
    this.#logLaggingAt = now + LAGGING_LOGGED_AFTER_MS;
    return next;
  }

  #activationOf(next: Slot, active: Slot, now: number): Activation {
    // A root that is not in the bundle yet is published by this review.
    if (next.state !== 'published') {
      return { isDue: false, waitsFor: 'time', lookAt: now };
    }
    const { lagging, log } = this.#options;
    const { sequenceNumber } = this.#state;
    const isLagging = () => Iterator.from(lagging(sequenceNumber)).some(() => true);
    const activation = activationOf(next, active.authority, now, this.#startedAt, this.#terms, isLagging);
    if (!activation.isDue && activation.waitsFor === 'proxies' && now >= this.#logLaggingAt) {
      this.#logLaggingAt = now + LAGGING_LOGGED_EACH_MS;
      log.warn(
        {
          authority_id: next.authority.id,
          proxies: Iterator.from(lagging(sequenceNumber)).take(LAGGING_LOGGED).toArray(),
        },
        'the new root does not sign yet: proxies have not acknowledged the bundle with it',
      );
    }
    return activation;
  }

  #rootActivated({ id }: Authority, isLagging: boolean): void {
    const { log, lagging } = this.#options;
    if (isLagging) {
      const proxies = Iterator.from(lagging(this.#state.sequenceNumber)).take(LAGGING_LOGGED).toArray();
      log.error(
        { authority_id: id, proxies },
        'new root signs though proxies have not acknowledged the bundle with it',
      );
    } else log.info({ authority_id: id }, 'new root signs: all SVIDs are reissued');
  }

  /** Creates a root for the time in which no other one is valid. */
  async #newRoot(now: number): Promise<Slot> {
    const isFirst = this.#roots.length === 0;
    const slot = await this.#storeRoot(now);
    const fields = { authority_id: slot.authority.id, not_after: new Date(slot.authority.notAfter) };
    if (isFirst) this.#options.log.info(fields, 'root created');
    else {
      this.#options.log.error(
        fields,
        'no root is valid at this time: created a new one; proxies trust it once they have the new bundle',
      );
    }
    return slot;
  }

  async #storeRoot(now: number): Promise<Slot> {
    const { trustDomain, subject, keyType, store } = this.#options;
    const root = await makeRoot({ trustDomain, subject, keyType, now }, this.#terms.rootLife);
    await store.save(root);
    const slot: Slot = { authority: root, state: 'prepared', since: now };
    this.#roots.push(slot);
    return slot;
  }

  async #newIntermediate(now: number, root: Authority): Promise<Slot> {
    const { trustDomain, subject, keyType, store, log } = this.#options;
    const request = { trustDomain, subject, keyType, now };
    const intermediate = await makeIntermediate(request, root, this.#terms.intermediateLife);
    await store.save(intermediate);
    log.info({ authority_id: intermediate.id, not_after: new Date(intermediate.notAfter) }, 'intermediate created');
    const slot: Slot = { authority: intermediate, state: 'prepared', since: now };
    this.#intermediates.push(slot);
    return slot;
  }

  /** True if it is under this root and a new one would not last much longer. */
  #isFit({ authority: intermediate, state }: Slot, root: Authority, now: number): boolean {
    // A request that failed may have left one that is stored and has not signed yet.
    if (this.#asked.has('intermediate') && state !== 'prepared') return false;
    const shortened = intermediate.notAfter - now > this.#terms.intermediateLife;
    return isUnder(intermediate, root) && now < this.#renewalOf(intermediate, root) && !shortened;
  }

  /**
   * When to replace it: half a life before its end, or at its end if the root ends at the same time, since a new one
   * would not last longer.
   */
  #renewalOf(intermediate: Authority, root: Authority): number {
    const atRootsEnd = intermediate.notAfter >= root.notAfter;
    return atRootsEnd ? intermediate.notAfter : intermediate.notAfter - this.#terms.intermediateLife / 2;
  }

  /** True if nothing needs the root any more: a retired one without a valid intermediate, or one that never got further. */
  #isGone({ authority, state }: Slot, intermediates: readonly Slot[], now: number): boolean {
    if (!isValidAt(authority, now)) return false;
    if (state === 'prepared') return now >= rootDueAt(authority);
    return state === 'retired' && !intermediates.some((slot) => isUnder(slot.authority, authority));
  }

  async #remove(authority: Authority): Promise<void> {
    await this.#options.store.remove(authority);
    if (authority.role === 'root') this.#options.log.info({ authority_id: authority.id }, 'retired root removed');
  }

  /** Stores the states and the bundle's number in one write, if anything changed. @param trusted the bundle's roots */
  async #save(
    slots: readonly Slot[],
    removed: readonly Slot[],
    trusted: readonly Authority[],
    now: number,
  ): Promise<void> {
    const rootIds = trusted.map(({ id }) => id).sort();
    const stored = Object.fromEntries(slots.map(({ authority, state, since }) => [authority.id, { state, since }]));
    const isSame = isDeepStrictEqual(rootIds, this.#state.rootIds);
    const sequenceNumber = this.#state.sequenceNumber + (isSame ? 0 : 1);
    const earlier = Object.entries(this.#state.gone).filter(([, notAfter]) => now < notAfter);
    const gone = Object.fromEntries([
      ...earlier,
      ...removed.map(({ authority }) => [authority.id, authority.notAfter]),
    ]);
    const state = { sequenceNumber, rootIds, slots: stored, gone };
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
