/**
 * The life cycle of the authorities: which root and intermediate sign, which roots are in the bundle, and when that
 * changes. `plan.ts` decides what to do, and a review does it. A review runs at start, at the time that the plan names,
 * at a request of an operator, at an answer of the upstream, and before a signature if the intermediate is invalid or
 * due for replacement. Each review stores the keys that it made, then all states in one write, and only then publishes
 * and signs; so a crash leaves either the states before or those after.
 */

import { isDeepStrictEqual } from 'node:util';
import { type Actor, SERVER } from '../audit/index.ts';
import { type Clock, isValidAt, Listeners, type Revocation, SidekeyError } from '../base/index.ts';
import type { AuthorityKeyType, TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import {
  type Authority,
  type AuthorityRole,
  isUnder,
  keyIdOf,
  makeIntermediate,
  makeRoot,
  upstreamIntermediate,
  upstreamRoot,
} from './authority.ts';
import { type AuthorityAuditor, audited } from './authority-audit.ts';
import { AuthorityLog } from './authority-log.ts';
import { type AuthorityView, listAuthorities, movesBetween, troubleOf, upstreamInfo } from './authority-report.ts';
import type { OwnBundle } from './bundle.ts';
import { type AuthorityState, KeyStore, type StoredAuthorities } from './key-store.ts';
import { Minter } from './mint.ts';
import type { NamePart } from './name.ts';
import { type Need, type Plan, plan, type Situation, type Slots } from './plan.ts';
import { Reviews } from './reviews.ts';
import { type RevocationList, RevocationLists } from './revocation-lists.ts';
import type { RotationTerms } from './rotation.ts';
import { localSigner, type Signer } from './signer.ts';
import { isTrusted, moved, type Slot } from './slot.ts';
import { statesAfter } from './stored-states.ts';
import { hasOther, markTainted, taintedSigners, taintedWith } from './taint.ts';
import type { AuditedMove, AuthorityInfo, AuthorityMove, LaggingProxy, UpstreamInfo } from './types.ts';
import type { MintedKey, UpstreamAuthority } from './upstream/upstream.ts';

export interface AuthoritiesOptions {
  readonly trustDomain: TrustDomain;
  readonly store: KeyStore;
  /** Gets the roots. */
  readonly bundle: OwnBundle;
  readonly clock: Clock;
  readonly log: Log;
  readonly subject: readonly NamePart[];
  /** The type of the keys of new authorities. */
  readonly keyType: AuthorityKeyType;
  readonly terms: RotationTerms;
  /** The upstream that signs the intermediates; undefined: own roots sign them. {@link Authorities.close} closes it. */
  readonly upstream?: UpstreamAuthority | undefined;
  readonly auditor: AuthorityAuditor;
  /** The certificates that are revoked at the start. */
  readonly revoked: readonly Revocation[];
  /** Publish a throw-away CA with each change of the revocation lists. */
  readonly revocationEpoch: boolean;
  /** The proxies that have not acknowledged the bundle with this sequence number. */
  readonly lagging: (sequenceNumber: number) => Iterable<LaggingProxy>;
  /** The proxies that may still use an SVID of one of these authorities. */
  readonly using: (authorityIds: ReadonlySet<string>) => Iterable<LaggingProxy>;
}

/**
 * The maximum numbers of valid authorities: operators can replace none beyond them, since the bundle has every root.
 */
const LIMITS: Readonly<Record<AuthorityRole, number>> = { root: 8, intermediate: 64 };
/** An answer of the upstream, and why it could not be stored. */
interface Arrival {
  readonly minted: MintedKey;
  failure: unknown;
}

export class Authorities {
  readonly replaced: Listeners<void>;
  readonly moves: Listeners<AuthorityMove>;
  readonly #options: AuthoritiesOptions;
  readonly #startedAt: number;
  readonly #log: AuthorityLog;
  readonly #audit: AuthorityAuditor;
  readonly #minter: Minter | undefined;
  #slots: Slots;
  /** The states on disk. */
  #state: AuthorityState;
  #signer: Signer | undefined;
  #next: Plan['next'];
  /** Issued SVIDs must be replaced, but the listeners have not been told yet. */
  #replacing = false;
  /** The roles that an operator asked to replace; the next review does it. */
  readonly #asked = new Set<AuthorityRole>();
  /** The IDs of authorities that an operator declared tainted, until the taint is stored, and who did. */
  readonly #tainting = new Map<string, Actor>();
  /** Answers of the upstream that have not been stored. */
  #arrived: Arrival[] = [];
  readonly #reviews: Reviews;
  readonly #lists: RevocationLists;

  private constructor(options: AuthoritiesOptions, { state, roots, intermediates }: StoredAuthorities) {
    const { log, clock, upstream, terms, bundle } = options;
    this.#options = options;
    this.#slots = { roots, intermediates };
    this.#state = state;
    this.#startedAt = clock.now();
    // JWT keys have numbers of the same bundle.
    bundle.continueAfter(options.store.lastNumber);
    const epoch = state.epoch === undefined ? undefined : Buffer.from(state.epoch, 'latin1');
    this.#lists = new RevocationLists(options.revocationEpoch, epoch);
    this.#lists.set(options.revoked);
    this.#log = new AuthorityLog(log);
    this.#audit = options.auditor;
    const take = (minted: MintedKey) => this.#take(minted);
    const life = terms.intermediateLife;
    const isAutomatic = upstream !== undefined && upstream.manual === undefined;
    this.#minter = isAutomatic ? new Minter({ upstream, keyType: options.keyType, life, clock, log, take }) : undefined;
    const review = () => this.#reviewNow();
    this.#reviews = new Reviews({ clock, log, failed: 'the authorities could not be renewed', review });
    const failed = (err: unknown) => log.error({ err }, 'authority listener failed');
    this.replaced = new Listeners(failed);
    this.moves = new Listeners(failed);
  }

  /**
   * Loads the authorities and creates missing ones. With an upstream there may be none until its first answer.
   * @throws ERR_CA if a stored authority is unusable or a new one cannot be stored
   */
  static async open(options: AuthoritiesOptions): Promise<Authorities> {
    const stored = await options.store.load(options.clock.now());
    if (stored.rewritten > 0) {
      const how = 'keys of authorities were encrypted or decrypted, as the settings require';
      options.log.info({ keys: stored.rewritten }, how);
    }
    const authorities = new Authorities(options, stored);
    try {
      await authorities.#reviews.run();
    } catch (error) {
      await authorities.close();
      throw SidekeyError.from(error, 'ERR_CA', `the authorities could not be created: ${(error as Error).message}`);
    }
    return authorities;
  }

  has(id: string): boolean {
    return this.#find(id) !== undefined;
  }

  /**
   * What this server knows of a root that somebody gives it: `own` if it is one of its roots, or has the key of one of
   * its authorities; `tainted` if that one was declared tainted. Removed authorities count until they expire.
   */
  knows({ id, certificate, publicKey }: Authority): 'own' | 'tainted' | undefined {
    const keyId = keyIdOf(publicKey);
    const isTainted = (one: string) => this.#find(one)?.state === 'tainted' || this.#state.gone[one]?.tainted === true;
    if (isTainted(id) || isTainted(keyId)) return 'tainted';
    const isRoot = this.#slots.roots.some(({ authority }) => authority.certificate.raw.equals(certificate.raw));
    return isRoot || this.has(keyId) || this.#state.gone[keyId] !== undefined ? 'own' : undefined;
  }

  signs(authorityId: string): boolean {
    return this.#signer?.id === authorityId;
  }

  /** See {@link listAuthorities}. */
  list(): AuthorityInfo[] {
    return listAuthorities(this.#view());
  }

  /** See {@link troubleOf}. */
  trouble(): string | undefined {
    return troubleOf(this.#view());
  }

  /** See {@link upstreamInfo}. */
  upstream(): UpstreamInfo | undefined {
    return upstreamInfo(this.#view());
  }

  /** The files as {@link KeyStore.snapshot}; a taint that is declared, but not stored yet, has its mark too. */
  snapshot(): Map<string, Buffer> {
    const files = this.#options.store.snapshot();
    for (const id of this.#tainting.keys()) files.set(KeyStore.markOf(id), Buffer.alloc(0));
    return files;
  }

  #view(): AuthorityView {
    const { clock, terms, upstream, lagging, using } = this.#options;
    const problem = this.#minter === undefined ? upstream?.problem() : this.#minter.trouble;
    return {
      ...{ now: clock.now(), startedAt: this.#startedAt, terms, upstream, using },
      ...{ slots: this.#slots, next: this.#next, signer: this.#signer, problem },
      lagging: () => lagging(this.#state.sequenceNumber),
    };
  }

  /**
   * Takes the certificates that an offline root signed, PEM.
   * @throws ERR_AUTHORITY_STATE if there is no offline root, or no request; ERR_UPSTREAM if they are refused; ERR_CA if
   * they cannot be stored
   */
  async import(certificates: string, by: Actor = SERVER): Promise<void> {
    const { upstream } = this.#options;
    if (upstream?.manual === undefined) {
      const what =
        upstream === undefined ? 'own roots sign the intermediates' : `${upstream.description} signs the intermediates`;
      throw new SidekeyError('ERR_AUTHORITY_STATE', `${what}: sidekey ca import needs --offline-root`);
    }
    const answer = await upstream.manual.answer(certificates);
    const roots = answer.roots.map((root) => upstreamRoot(root).id);
    await this.#audit.asked(this.#options.clock.now(), 'authority.import_asked', by, { role: 'intermediate', roots });
    await this.#take(answer);
    await upstream.manual.taken();
  }

  /**
   * Replaces an authority: an intermediate at once; a root by one that is published now and signs when all proxies
   * have it. Does nothing while such a rotation is in progress.
   * @throws ERR_ROTATION_LIMIT; ERR_AUTHORITY_STATE for an upstream's root; ERR_UPSTREAM; ERR_CA if the new one cannot
   * be made or stored
   */
  async rotate(role: AuthorityRole, by: Actor = SERVER): Promise<void> {
    const { upstream } = this.#options;
    if (upstream !== undefined && role === 'root') {
      throw new SidekeyError(
        'ERR_AUTHORITY_STATE',
        `the roots belong to the upstream (${upstream.description}): replace the root there, then get a new intermediate: sidekey ca rotate`,
      );
    }
    this.#checkLimit(role);
    await this.#audit.asked(this.#options.clock.now(), 'authority.rotate_asked', by, { role });
    if (upstream?.manual !== undefined) {
      await upstream.manual.prepare();
      return;
    }
    if (this.#minter !== undefined) {
      await this.#minter.mint();
      // While a proxy does not trust the root of the answer, the intermediate becomes active later, without another call.
      if (this.#next !== undefined) return;
    }
    this.#asked.add(role);
    const before = this.#signer;
    try {
      await this.#reviews.runAnew();
      // With revocation lists, the next intermediate may wait for proxies to have its list.
      const isWaiting = () => role === 'intermediate' && this.#signer === before && this.#isListing();
      while (isWaiting() && !this.#reviews.closed) {
        await this.#reviews.ended();
        if (this.#reviews.failure !== undefined) throw this.#reviews.failure;
      }
    } catch (error) {
      throw SidekeyError.from(error, 'ERR_CA', `the ${role} could not be replaced: ${(error as Error).message}`);
    } finally {
      this.#asked.delete(role);
    }
  }

  /** @throws ERR_ROTATION_LIMIT if too many are still valid: each is in the bundle or on disk */
  #checkLimit(role: AuthorityRole): void {
    const now = this.#options.clock.now();
    const slots = role === 'root' ? this.#slots.roots : this.#slots.intermediates;
    const used = slots.filter(({ authority, state }) => state !== 'prepared' && now < authority.notAfter).length;
    const limit = LIMITS[role];
    if (used < limit) return;
    throw new SidekeyError(
      'ERR_ROTATION_LIMIT',
      `${used} ${role}s are still valid, and the limit is ${limit}: wait until one expires (sidekey ca show)`,
    );
  }

  /**
   * Declares that the key of an authority may have leaked. The authority signs nothing from now on, all SVIDs are
   * reissued under another root, and then the tainted root leaves the bundle. An own intermediate is tainted together
   * with its root, since peers refuse its SVIDs only when their bundle lacks that root. The root of an upstream's
   * intermediate stays.
   * @throws ERR_NOT_FOUND; ERR_AUTHORITY_STATE, ERR_UPSTREAM if the upstream signs under no other root; ERR_CA if the
   * states cannot be stored; then nothing is signed until a later review stores them
   */
  async taint(id: string, by: Actor = SERVER): Promise<void> {
    const slot = this.#find(id);
    if (slot === undefined) throw new SidekeyError('ERR_NOT_FOUND', `there is no authority ${id}: see sidekey ca show`);
    if (slot.state === 'tainted') return;
    const ids = taintedWith(slot.authority, this.#slots);
    // Request another intermediate first: without one, nothing could be signed.
    if (this.#options.upstream !== undefined && this.#signer !== undefined && ids.has(this.#signer.id)) {
      await this.#minter?.mint();
      if (!hasOther(ids, this.#slots)) {
        throw new SidekeyError(
          'ERR_AUTHORITY_STATE',
          `the upstream (${this.#options.upstream.description}) still signs under the root ${id}: configure it to sign under another root, then repeat this`,
        );
      }
    }
    for (const one of ids) this.#tainting.set(one, by);
    // Even if the review fails, the tainted authority must sign nothing more.
    if (this.#signer !== undefined && ids.has(this.#signer.id)) this.#signer = undefined;
    try {
      await this.#reviews.runAnew();
    } catch (error) {
      throw SidekeyError.from(
        error,
        'ERR_CA',
        `the taint could not be stored, which is tried again; repeat it after a restart: ${(error as Error).message}`,
      );
    }
  }

  /**
   * Replaces the set of revoked certificates, and publishes the lists that have them.
   * @returns the sequence number of the bundle with the lists
   * @throws ERR_CA if they cannot be signed or stored, which is tried again
   */
  async setRevoked(revoked: readonly Revocation[]): Promise<number> {
    this.#lists.set(revoked);
    try {
      await this.#reviews.runAnew();
    } catch (error) {
      const message = `the revocation lists could not be published, which is tried again: ${(error as Error).message}`;
      throw SidekeyError.from(error, 'ERR_CA', message);
    }
    return this.#state.sequenceNumber;
  }

  /** Why certificates cannot be revoked; undefined if they can. */
  whyNotRevocable(): string | undefined {
    const { upstream, store } = this.#options;
    if (upstream !== undefined) {
      return `the roots belong to the upstream (${upstream.description}): proxies would refuse all SVIDs of its other intermediates, which have no revocation list here`;
    }
    const keyless = this.#slots.roots.find(({ authority, state }) => {
      return state !== 'prepared' && authority.privateKey === undefined;
    });
    const [id] = keyless === undefined ? Object.keys(store.carried().state().roots) : [keyless.authority.id];
    if (id === undefined) return undefined;
    return `the bundle has the root ${id}, whose key is elsewhere: proxies would refuse all SVIDs under it, since nobody here can sign its revocation list`;
  }

  /** True if a revoked certificate is unexpired, even if its list could not be published yet. */
  hasRevoked(): boolean {
    return this.#lists.isNeeded(this.#options.clock.now());
  }

  /** The lists in the bundle. */
  revocationLists(): readonly RevocationList[] {
    return this.#lists.published.lists;
  }

  /** True for the certificate, DER, of a tainted root. */
  isTainted(root: Buffer): boolean {
    return this.#slots.roots.some(
      ({ state, authority }) => state === 'tainted' && authority.certificate.raw.equals(root),
    );
  }

  #find(id: string): Slot | undefined {
    return [...this.#slots.roots, ...this.#slots.intermediates].find(({ authority }) => authority.id === id);
  }

  /**
   * The authority that signs SVIDs now; replaces it first if that is due, and waits for the successor of a tainted one.
   * @throws ERR_CA if none is valid
   */
  async signer(): Promise<Signer> {
    const { clock } = this.#options;
    // The first call may join a review that began before the clock jumped.
    for (let reviews = 0; reviews < 2 && this.#isDue(); reviews += 1) await this.#reviews.run().catch(() => undefined);
    while (this.#signer === undefined && this.#isTaintPending() && !this.#reviews.closed) {
      await this.#reviews.ended();
    }
    if (this.#reviews.closed) throw new SidekeyError('ERR_CA', 'the authority is closed');
    const signer = this.#signer;
    if (signer !== undefined && isValidAt(signer, clock.now())) return signer;
    throw new SidekeyError('ERR_CA', this.trouble() ?? 'no authority is valid now, and none can be created', {
      cause: this.#reviews.failure,
    });
  }

  #isDue(): boolean {
    const now = this.#options.clock.now();
    return this.#reviews.isDue(now) || (this.#signer !== undefined && !isValidAt(this.#signer, now));
  }

  /** True while a successor of a tainted authority waits for the proxies. */
  #isTaintPending(): boolean {
    if (this.#reviews.failure !== undefined) return false;
    return this.#tainting.size > 0 || (this.#next !== undefined && taintedSigners(this.#slots).size > 0);
  }

  async close(): Promise<void> {
    this.#reviews.stop();
    // The minter closes its upstream.
    if (this.#minter === undefined) await this.#options.upstream?.close();
    else await this.#minter.close();
    await this.#reviews.close();
  }

  async #take(minted: MintedKey): Promise<void> {
    const arrival: Arrival = { minted, failure: undefined };
    this.#arrived.push(arrival);
    await this.#reviews.runAnew();
    if (arrival.failure === undefined) return;
    const message = `the answer of the upstream could not be stored: ${(arrival.failure as Error).message}`;
    throw SidekeyError.from(arrival.failure, 'ERR_CA', message);
  }

  async #reviewNow(): Promise<void> {
    const now = this.#options.clock.now();
    const before = this.#slots;
    if (this.#arrived.length > 0) await this.#storeArrived(now);
    // Authorities that are tainted while this review runs need another review.
    const taintedBy = new Map(this.#tainting);
    const tainting: ReadonlySet<string> = new Set(taintedBy.keys());
    if (tainting.size > 0) {
      this.#replacing = true;
      this.#log.tainted([...tainting]);
      for (const id of tainting) await this.#options.store.markTainted(id);
    }
    const situation = this.#situation(tainting, now);
    const next = await this.#plan(tainting, situation);
    const isNewlyPublished = next.next !== undefined && next.next.slot.authority !== this.#next?.slot.authority;
    const trusted = next.roots.filter((slot) => isTrusted(slot, now)).map(({ authority }) => authority);
    const { bundle } = this.#options;
    const moves = movesBetween(before, next, now);
    const listed = this.#listed({ roots: trusted, intermediates: next.intermediates }, now);
    const lists = await this.#lists.sign(listed, this.#state.listTimes ?? {}, now);
    const states = statesAfter({ before: this.#state, plan: next, trusted, tainting, now, lists, bundle });
    await this.#save(states, audited(moves, taintedBy));
    this.#slots = next;
    this.#next = next.next?.activation.isDue === false ? next.next : undefined;
    for (const id of tainting) this.#tainting.delete(id);

    this.#lists.publish(lists);

    const signer = this.#signer;
    this.#changeSigner(next);
    if (situation.asked.has('intermediate') && this.#signer !== signer) this.#replacing = true;
    this.#reviews.nextAt(Math.min(next.lookAt, lists.lookAt));
    this.#log.planned(next, before, isNewlyPublished, this.#view());
    bundle.setRoots(trusted, this.#state.sequenceNumber, lists, this.#state.documentNumber);
    if (this.#replacing && this.#signer !== undefined) {
      this.#replacing = false;
      this.replaced.tell();
    }
    for (const move of moves) this.moves.tell(move);
    if (next.wantsMint) this.#request();
    for (const { authority } of next.gone) await this.#remove(authority);
    // Last, so that a taint takes effect even while the database fails. No SVID can be issued then.
    await this.#audit.flush();
  }

  /** True while there have to be revocation lists. */
  #isListing(): boolean {
    return this.hasRevoked() && this.whyNotRevocable() === undefined;
  }

  /** The authorities that need revocation lists now: those in the bundle, and those under it. */
  #listed({ roots, intermediates }: { roots: readonly Authority[]; intermediates: readonly Slot[] }, now: number) {
    if (!this.#lists.isNeeded(now)) return [];
    const problem = this.whyNotRevocable();
    if (problem !== undefined) {
      this.#options.log.error({ problem }, 'revoked certificates are accepted: there can be no revocation lists now');
      return [];
    }
    const below = intermediates.map(({ authority }) => authority);
    return [...roots, ...below.filter((one) => now < one.notAfter && roots.some((root) => isUnder(one, root)))];
  }

  /** Requests an intermediate from the upstream, or prepares the request that a person takes to the offline root. */
  #request(): void {
    const { upstream, log } = this.#options;
    this.#minter?.want();
    const failed = (err: unknown) => log.error({ err }, 'the request to the offline root could not be stored');
    upstream?.manual?.prepare().catch(failed);
  }

  /**
   * Deletes the file of a removed authority. If that fails, the next start does it, since the states list it as gone.
   */
  async #remove(authority: Authority): Promise<void> {
    try {
      await this.#options.store.remove(authority);
    } catch (err) {
      this.#options.log.error(
        { err, authority_id: authority.id },
        'the file of a removed authority could not be deleted',
      );
    }
  }

  /** Plans; makes each key that the plan needs and plans again. */
  async #plan(tainting: ReadonlySet<string>, situation: Situation): Promise<Plan> {
    const { now } = situation;
    for (;;) {
      const next = plan(markTainted(this.#slots, tainting, now), situation);
      if (next.need === undefined) {
        const dropped = this.#slots.roots.filter(({ authority, state }) => {
          return state === 'prepared' && tainting.has(authority.id);
        });
        return { ...next, gone: [...next.gone, ...dropped] };
      }
      await this.#make(next, now);
    }
  }

  #situation(tainting: ReadonlySet<string>, now: number): Situation {
    const { terms, lagging, using, upstream } = this.#options;
    const hasSome = (proxies: Iterable<LaggingProxy>) => Iterator.from(proxies).some(() => true);
    const tainted = new Set([...taintedSigners(this.#slots), ...tainting]);
    const isListed = (authority: Authority) => this.#lists.published.lists.some((one) => one.authority === authority);
    return {
      ...{ now, terms, startedAt: this.#startedAt, asked: new Set(this.#asked), rootLimit: LIMITS.root },
      source: upstream === undefined ? 'self' : 'upstream',
      isBundleLagging: () => hasSome(lagging(this.#state.sequenceNumber)),
      isListed: this.#isListing() ? isListed : undefined,
      // No proxy has new SVIDs before the listeners are told to replace them.
      isReissueLagging: () => this.#replacing || hasSome(using(tainted)),
    };
  }

  async #make(need: Need, now: number): Promise<void> {
    const { trustDomain, subject, keyType, store, terms } = this.#options;
    const request = { trustDomain, subject, keyType, now };
    const authority =
      need.need === 'root'
        ? await makeRoot(request, terms.rootLife)
        : await makeIntermediate(request, need.under, terms.intermediateLife);
    await store.save(authority);
    this.#log.made(authority, need.need === 'root' && need.isOnly && this.#slots.roots.length > 0);
    this.#add(authority, now);
  }

  #add(authority: Authority, now: number): void {
    const slot: Slot = { authority, state: 'prepared', since: now };
    const { roots, intermediates } = this.#slots;
    if (authority.role === 'root') this.#slots = { roots: [...roots, slot], intermediates };
    else this.#slots = { roots, intermediates: [...intermediates, slot] };
  }

  /** Stores the answers of the upstream: new roots, then the intermediate. Roots that an answer leaves out retire. */
  async #storeArrived(now: number): Promise<void> {
    for (const arrival of this.#arrived.splice(0)) {
      try {
        await this.#storeMinted(arrival.minted, now);
      } catch (error) {
        arrival.failure = error;
      }
    }
  }

  async #storeMinted({ chain, roots, notAfter, privateKey }: MintedKey, now: number): Promise<void> {
    const { store } = this.#options;
    const listed = roots.map(upstreamRoot);
    const tainted = listed.find(({ id }) => this.#state.gone[id]?.tainted === true);
    if (tainted !== undefined) {
      const message = `the answer of the upstream has the root ${tainted.id}, which was declared tainted`;
      throw new SidekeyError('ERR_AUTHORITY_STATE', message);
    }
    for (const [i, root] of listed.entries()) {
      if (this.#find(root.id) !== undefined) continue;
      await store.save(root);
      this.#log.upstreamRoot(root, i === 0);
      this.#add(root, now);
    }
    const intermediate = upstreamIntermediate(chain, privateKey, notAfter);
    // The answer may be one that was stored before something else failed.
    if (this.#find(intermediate.id) === undefined) {
      await store.save(intermediate);
      this.#log.made(intermediate);
      this.#add(intermediate, now);
    }
    const isListed = (id: string) => listed.some((root) => root.id === id);
    const updated = this.#slots.roots.map((slot) => {
      if (slot.authority.privateKey !== undefined) return slot;
      if (slot.state === 'published' && !isListed(slot.authority.id)) return moved(slot, 'retired', now);
      return slot.state === 'retired' && isListed(slot.authority.id) ? moved(slot, 'published', now) : slot;
    });
    this.#slots = { ...this.#slots, roots: updated };
  }

  #changeSigner({ root, intermediate }: Plan): void {
    const before = this.#signer;
    if (intermediate === undefined || this.#tainting.has(intermediate.authority.id)) this.#signer = undefined;
    else if (before?.id !== intermediate.authority.id) this.#signer = localSigner(intermediate.authority);
    if (before !== undefined && root !== undefined && !isUnder(before, root.authority)) this.#replacing = true;
  }

  /** Stores the states, the bundle's number and the moves in one write, if anything has changed. */
  async #save(state: AuthorityState, moves: readonly AuditedMove[]): Promise<void> {
    if (isDeepStrictEqual(state, this.#state)) return;
    await this.#options.store.saveState(state, moves);
    this.#state = state;
  }
}
