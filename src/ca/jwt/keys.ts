/**
 * The life cycle of the JWT keys: which one signs, which ones are in the bundle, and when that changes. `plan.ts` decides,
 * and a review does it, as for roots and intermediates (`../authorities.ts`): it stores the keys that it made, then all
 * states in one write, and only then publishes and signs. So a crash leaves either the states before or those after.
 */

import { type Actor, SERVER } from '../../audit/index.ts';
import { type Clock, Listeners, SidekeyError } from '../../base/index.ts';
import type { AuthorityKeyType } from '../../spiffe/index.ts';
import type { Log } from '../../telemetry/index.ts';
import type { AuthorityAuditor } from '../authority-audit.ts';
import type { OwnBundle } from '../bundle.ts';
import { Reviews } from '../reviews.ts';
import type { SlotState } from '../slot.ts';
import type { AuthorityInfo, AuthorityMove } from '../types.ts';
import { type JwtKey, makeJwtKey } from './jwt-key.ts';
import { type JwtKeyStore, jwtFileName } from './key-store.ts';
import { type JwtKeyTerms, type JwtPlan, type JwtSlot, planJwtKeys } from './plan.ts';
import { type JwtSigner, jwtSigner } from './signer.ts';

export interface JwtKeysOptions {
  readonly store: JwtKeyStore;
  /** Gets the keys. */
  readonly bundle: OwnBundle;
  readonly auditor: AuthorityAuditor;
  readonly clock: Clock;
  readonly log: Log;
  /** The type of new keys. */
  readonly keyType: AuthorityKeyType;
  readonly terms: JwtKeyTerms;
}

/** The maximum number of keys in the bundle; operators can replace none beyond it. */
const MAX_KEYS = 8;

const LIST_ORDER: readonly SlotState[] = ['retired', 'active', 'published', 'prepared'];

export class JwtKeys {
  readonly moves: Listeners<AuthorityMove>;
  readonly #options: JwtKeysOptions;
  readonly #reviews: Reviews;
  readonly #startedAt: number;
  #slots: readonly JwtSlot[];
  #plan: JwtPlan | undefined;
  #signer: JwtSigner | undefined;
  /** The ID of the signing key that an operator asked to be replaced. */
  #replace: string | undefined;
  /** The keys that an operator declared tainted, by ID, until that is stored, and who did. */
  readonly #tainting = new Map<string, { readonly slot: JwtSlot; readonly by: Actor }>();

  private constructor(options: JwtKeysOptions, slots: readonly JwtSlot[]) {
    const { clock, log, store, bundle } = options;
    this.#options = options;
    this.#startedAt = clock.now();
    this.#slots = slots;
    this.#replace = store.state().replace;
    bundle.continueAfter(store.state().sequenceNumber);
    const review = () => this.#review();
    this.#reviews = new Reviews({ clock, log, failed: 'the JWT keys could not be renewed', review });
    this.moves = new Listeners((err) => log.error({ err }, 'authority listener failed'));
  }

  /**
   * Loads the keys, and makes those that are missing. A trust domain's first key signs at once.
   * @throws ERR_CA if a stored key is unusable or a new one cannot be stored
   */
  static async open(options: JwtKeysOptions): Promise<JwtKeys> {
    const { slots, rewritten } = await options.store.load();
    if (rewritten > 0) {
      options.log.info({ keys: rewritten }, 'JWT keys were encrypted or decrypted, as the settings require');
    }
    const keys = new JwtKeys(options, slots);
    try {
      await keys.#reviews.run();
    } catch (error) {
      await keys.close();
      throw SidekeyError.from(error, 'ERR_CA', `the JWT keys could not be created: ${(error as Error).message}`);
    }
    return keys;
  }

  /** The key that signs now; replaces it first if that is due. @throws ERR_CA if none is valid */
  async signer(): Promise<JwtSigner> {
    const { clock } = this.#options;
    // The first call may join a review that began before a taint, or before the clock jumped.
    for (let reviews = 0; reviews < 2 && this.#isDue(); reviews += 1) await this.#reviews.run().catch(() => undefined);
    if (this.#reviews.closed) throw new SidekeyError('ERR_CA', 'the authority is closed');
    if (this.#signer !== undefined && clock.now() < this.#signer.notAfter) return this.#signer;
    throw new SidekeyError('ERR_CA', 'no JWT key is valid now, and none can be created: the log has the reason', {
      cause: this.#reviews.failure,
    });
  }

  #isDue(): boolean {
    const now = this.#options.clock.now();
    return this.#reviews.isDue(now) || this.#signer === undefined || now >= this.#signer.notAfter;
  }

  has(id: string): boolean {
    return this.#tainting.has(id) || this.#slots.some(({ authority }) => authority.id === id);
  }

  /** In the order of their lives. */
  list(): AuthorityInfo[] {
    return this.#slots
      .toSorted((a, b) => LIST_ORDER.indexOf(a.state) - LIST_ORDER.indexOf(b.state))
      .map(({ authority: { id, keyType, notBefore, notAfter }, state, since }) => ({
        ...{
          id,
          role: 'jwt',
          keyType,
          notBefore,
          notAfter,
          subject: '',
          state,
          since,
          isUpstreams: false,
          waitsFor: [],
        },
        ...(id === this.#plan?.next.authority.id
          ? { signsAfter: this.#plan.nextSignsAt, fetchedAt: this.#plan.nextFetchedAt }
          : { signsAfter: undefined }),
      }));
  }

  /**
   * Replaces the key that signs by the next one, as soon as that was published for long enough.
   * @throws ERR_ROTATION_LIMIT; ERR_STORE if this cannot be recorded; ERR_CA if it cannot be stored
   */
  async rotate(by: Actor = SERVER): Promise<void> {
    const used = this.#slots.length;
    if (used >= MAX_KEYS) {
      throw new SidekeyError(
        'ERR_ROTATION_LIMIT',
        `${used} JWT keys are still valid, and the limit is ${MAX_KEYS}: wait until one expires (sidekey ca show)`,
      );
    }
    const { auditor, clock } = this.#options;
    await auditor.asked(clock.now(), 'authority.rotate_asked', by, { role: 'jwt' });
    this.#replace = this.#signer?.keyId;
    try {
      await this.#reviews.runAnew();
    } catch (error) {
      this.#replace = undefined;
      throw SidekeyError.from(error, 'ERR_CA', `the JWT key could not be replaced: ${(error as Error).message}`);
    }
  }

  /**
   * Declares that a key may have leaked: it signs nothing from now on and leaves the bundle, so its tokens are refused.
   * The next key signs at once.
   * @throws ERR_NOT_FOUND; ERR_CA if this cannot be stored
   */
  async taint(id: string, by: Actor = SERVER): Promise<void> {
    const slot = this.#slots.find(({ authority }) => authority.id === id);
    if (slot !== undefined) this.#tainting.set(id, { slot, by });
    // It may be one that could not be stored so far.
    else if (!this.#tainting.has(id)) {
      throw new SidekeyError('ERR_NOT_FOUND', `there is no authority ${id}: see sidekey ca show`);
    }
    // Even if the review fails, the tainted key must sign nothing more.
    if (this.#signer?.keyId === id) this.#signer = undefined;
    try {
      await this.#reviews.runAnew();
    } catch (error) {
      const message = `the taint could not be stored, which is tried again; repeat it after a restart: ${(error as Error).message}`;
      throw SidekeyError.from(error, 'ERR_CA', message);
    }
  }

  /** Leaves out of a snapshot the keys that are declared tainted, although that is not stored yet. */
  withoutTainted(files: Map<string, Buffer>): Map<string, Buffer> {
    for (const id of this.#tainting.keys()) files.delete(jwtFileName({ id }));
    return files;
  }

  async close(): Promise<void> {
    await this.#reviews.close();
  }

  async #review(): Promise<void> {
    const { clock, store, bundle, auditor, log } = this.#options;
    const now = clock.now();
    const before = this.#slots;
    const declared = [...this.#tainting];
    const tainting = new Map(declared.map(([id, { by }]) => [id, by]));
    // Without its file a key never comes back, even if the states cannot be stored.
    for (const id of tainting.keys()) await store.remove({ id });
    this.#slots = before.filter(({ authority }) => !tainting.has(authority.id));
    const plan = await this.#makeAndPlan(now);
    const next = { ...plan, gone: [...plan.gone, ...declared.map(([, { slot }]) => slot)] };
    const { state, moves } = await store.savePlan(next, { now, tainting, replace: this.#replace, bundle });
    this.#slots = next.slots;
    this.#plan = next;
    this.#replace = state.replace;
    this.#reviews.nextAt(next.lookAt);
    this.#logMoves(before, next, tainting);
    bundle.setJwtKeys(
      next.slots.map(({ authority }) => authority.authority),
      state.sequenceNumber,
    );
    for (const id of tainting.keys()) this.#tainting.delete(id);
    this.#changeSigner(next.active.authority);
    for (const { by: _, ...move } of moves) this.moves.tell(move);
    for (const { authority } of next.gone) {
      await store.remove(authority).catch((err: unknown) => {
        log.error({ err, authority_id: authority.id }, 'the file of a removed JWT key could not be deleted');
      });
    }
    // Last, as for the other authorities: a taint takes effect even while the database fails.
    await auditor.flush();
  }

  /** Called after the bundle has changed, so that consumers get a key before its tokens. */
  #changeSigner(active: JwtKey): void {
    // Meanwhile the key may have been tainted; then another review follows.
    if (this.#tainting.has(active.id)) this.#signer = undefined;
    else if (this.#signer?.keyId !== active.id) this.#signer = jwtSigner(active);
  }

  /** Plans; makes each key that the plan needs and plans again. */
  async #makeAndPlan(now: number): Promise<JwtPlan> {
    const { store, terms, keyType } = this.#options;
    for (;;) {
      const plan = planJwtKeys(this.#slots, { now, startedAt: this.#startedAt, terms, replace: this.#replace });
      if (plan !== 'key') return plan;
      const authority = await makeJwtKey(keyType, now, terms.life);
      await store.save(authority);
      this.#slots = [...this.#slots, { authority, state: 'prepared', since: now }];
    }
  }

  #logMoves(
    before: readonly JwtSlot[],
    { slots, gone, active, isUrgent }: JwtPlan,
    tainting: ReadonlyMap<string, Actor>,
  ): void {
    const { log } = this.#options;
    const stateOf = (key: JwtKey) => before.find(({ authority }) => authority === key)?.state;
    for (const id of tainting.keys()) {
      log.warn({ authority_id: id }, 'JWT key is tainted: it signs nothing more, and its tokens are refused');
    }
    for (const { authority, state } of slots) {
      if (stateOf(authority) === state) continue;
      const fields = { authority_id: authority.id, not_after: new Date(authority.notAfter) };
      if (state === 'published') log.info(fields, 'new JWT key is published');
      if (state === 'active') log.info(fields, 'JWT key signs');
    }
    for (const { authority } of gone) {
      if (!tainting.has(authority.id)) log.info({ authority_id: authority.id }, 'JWT key removed');
    }
    if (isUrgent && before.length > 0 && stateOf(active.authority) === undefined) {
      log.error(
        { authority_id: active.authority.id },
        'no JWT key could sign: created a new one; consumers refuse its tokens until they have the new bundle',
      );
    }
  }
}
