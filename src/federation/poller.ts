/**
 * Polls the bundle endpoints of all relationships: each at its refresh hint, one fetch at a time per trust domain.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Federation.md sections 4 and 6
 */

import { createHash, X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { type Clock, type Deadline, Listeners, SidekeyError } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import { Slots } from '../limits/index.ts';
import type { BundleInput, FederatedBundle, Registry, Relationship } from '../registry/index.ts';
import { type BundleContents, type TrustBundle, type TrustDomain, trustDomainOf } from '../spiffe/index.ts';
import { type Log, Tally } from '../telemetry/index.ts';
import type { AddressRules } from './addresses.ts';
import { readDocument } from './document.ts';
import { contextOf, type EndpointTrust, fetchDocument } from './fetch.ts';
import { FETCH_FAILURES, FetchError, type FetchFailure } from './fetch-error.ts';
import type { Resolve } from './lookup.ts';
import type { RelationshipMove, RelationshipState, RelationshipStatus } from './status.ts';

export interface PollerParts {
  readonly registry: Pick<Registry, 'trustDomain' | 'relationships' | 'federatedBundles'>;
  readonly ca: Pick<CertificateAuthority, 'bundle'>;
  readonly rules: AddressRules;
  /** Shortest time between two polls of a domain, in seconds, whatever its hint says. */
  readonly minRefresh: number;
  readonly clock: Clock;
  readonly log: Log;
  /** For tests. */
  readonly resolve?: Resolve;
  readonly timeoutMs?: number;
  /** Returns a number in [0, 1); by default Math.random. */
  readonly random?: () => number;
}

/** Longest time between two polls, in seconds. */
export const MAX_REFRESH = 3_600;
/** If the document says nothing (section 4.1.3 of the bundle's specification), in seconds. */
const DEFAULT_REFRESH = 300;
/** Time until the next try as long as nothing was ever fetched, in seconds. */
const FIRST_REFRESH = 60;
/** Part of the time between two polls by which each is shortened at random, so that they spread. */
const JITTER = 0.1;
/** At a start the first polls spread over this time per relationship, up to the limit, in milliseconds. */
const SPREAD_EACH_MS = 30;
const SPREAD_MS = 30_000;
/** Maximum number of fetches at once. */
const MOST_AT_ONCE = 16;
/** Maximum number of further fetches at once from endpoints that were slow lately, which else would delay all others. */
const MOST_SLOW_AT_ONCE = 16;
/** Duration from which a fetch is slow, in milliseconds. */
const SLOW_MS = 3_000;
/** Number of fast fetches in succession after which an endpoint is no longer slow. */
const FAST_AGAIN = 3;
/** How often a fetch begins anew because the bundle was set by hand meanwhile. */
const MOST_ANEW = 3;

export interface PollOutcome {
  /** Whether other authorities, or another number or hint, were stored. */
  readonly changed: boolean;
}

export type PollResult = 'changed' | 'unchanged' | FetchFailure;
export const POLL_RESULTS: readonly PollResult[] = ['changed', 'unchanged', ...FETCH_FAILURES];

/** One relationship as long as it exists. */
interface Followed {
  status: RelationshipStatus;
  deadline: Deadline | undefined;
  /** The fetch that runs; `forced` ones may store a lower sequence number. */
  running:
    | { readonly outcome: Promise<PollOutcome>; readonly forced: boolean; readonly stop: AbortController }
    | undefined;
  /** SHA-256 of the last document, and the bundle that was stored for it: it need not be read again. */
  last: { readonly hash: string; readonly bundle: FederatedBundle } | undefined;
  /** The TLS context, and the text of the certificates that it is made of. */
  context: { readonly of: string | Buffer; readonly context: SecureContext } | undefined;
  /** Number of fast fetches until the endpoint is no longer slow; 0: it is not. */
  slow: number;
}

/** The bundle was set or deleted by hand while it was fetched: what was fetched may be the older one. */
class Superseded extends FetchError {
  constructor() {
    super('store', 'the bundle was changed by hand meanwhile');
  }
}

const NEW: RelationshipStatus = {
  state: 'new',
  lastAttemptAt: undefined,
  lastSuccessAt: undefined,
  nextPollAt: undefined,
  failures: 0,
  error: undefined,
  address: undefined,
  ignored: [],
};

export class Poller {
  readonly #parts: PollerParts;
  readonly #followed = new Map<TrustDomain, Followed>();
  readonly #slots = new Slots(MOST_AT_ONCE);
  readonly #slowSlots = new Slots(MOST_SLOW_AT_ONCE);
  readonly #moves: Listeners<RelationshipMove>;
  readonly #stops: readonly (() => void)[];
  readonly #random: () => number;
  #closed = false;
  /** Fetches by result. */
  readonly results = new Tally<PollResult>(POLL_RESULTS);

  /** Begins to poll. */
  constructor(parts: PollerParts) {
    this.#parts = parts;
    this.#random = parts.random ?? Math.random;
    this.#moves = new Listeners((err) => parts.log.error({ err }, 'a listener for relationships threw an error'));
    const { relationships, federatedBundles } = parts.registry;
    const known = relationships.list();
    const spread = Math.min(SPREAD_MS, known.length * SPREAD_EACH_MS);
    for (const { trustDomain } of known) this.#follow(trustDomain, this.#random() * spread);
    this.#stops = [
      relationships.onChange((trustDomain) => this.#relationshipChanged(trustDomain)),
      federatedBundles.onChange((trustDomain) => this.#bundleChanged(trustDomain)),
      parts.clock.onSetBack(() => this.#planAgain()),
    ];
  }

  /** Undefined: there is no such relationship. */
  status(trustDomain: string): RelationshipStatus | undefined {
    return this.#followed.get(trustDomain as TrustDomain)?.status;
  }

  /**
   * Fetches now, or waits for the fetch that runs.
   * @param force take a bundle with a lower sequence number, or without one
   * @throws ERR_NOT_FOUND; ERR_FEDERATION with the reason; ERR_STORE
   */
  async refresh(trustDomain: TrustDomain, force = false): Promise<PollOutcome> {
    for (;;) {
      const followed = this.#followed.get(trustDomain);
      if (followed === undefined)
        throw new SidekeyError('ERR_NOT_FOUND', `there is no federation relationship with ${trustDomain}`);
      // A fetch that is not forced may refuse what this one takes. The relationship may be another one after it.
      if (!force || followed.running?.forced !== false) return this.#poll(trustDomain, followed, force);
      await followed.running.outcome.catch(() => undefined);
    }
  }

  /** Calls the listener when a relationship comes into another state. @returns a function that removes it */
  onMove(listener: (move: RelationshipMove) => void): () => void {
    return this.#moves.add(listener);
  }

  /** Ends all polls, and waits for them. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#stops) stop();
    const running = [...this.#followed.values()].map(({ running }) => running?.outcome.catch(() => undefined));
    for (const trustDomain of [...this.#followed.keys()]) this.#unfollow(trustDomain);
    await Promise.all(running);
    this.#moves.clear();
  }

  #follow(trustDomain: TrustDomain, delayMs: number): void {
    const followed: Followed = {
      status: NEW,
      deadline: undefined,
      running: undefined,
      last: undefined,
      context: undefined,
      slow: 0,
    };
    this.#followed.set(trustDomain, followed);
    this.#plan(trustDomain, followed, delayMs);
  }

  #unfollow(trustDomain: TrustDomain): void {
    const followed = this.#followed.get(trustDomain);
    followed?.deadline?.cancel();
    followed?.running?.stop.abort();
    this.#followed.delete(trustDomain);
  }

  /** A changed relationship begins anew: what is known of its former endpoint says nothing of this one. */
  #relationshipChanged(trustDomain: TrustDomain): void {
    this.#unfollow(trustDomain);
    if (this.#parts.registry.relationships.get(trustDomain) !== undefined) this.#follow(trustDomain, 0);
  }

  /** A new bundle by hand may be the one that was waited for: of the domain itself, or of its endpoint's. */
  #bundleChanged(trustDomain: TrustDomain): void {
    if (this.#parts.registry.federatedBundles.get(trustDomain)?.source === 'polled') {
      this.#wake((domain) => domain !== trustDomain && this.#endpointDomain(domain) === trustDomain);
    } else this.#wake((domain) => domain === trustDomain || this.#endpointDomain(domain) === trustDomain);
  }

  /** Polls those of these domains at once that wait for a bundle. */
  #wake(isMeant: (trustDomain: TrustDomain) => boolean): void {
    for (const [trustDomain, followed] of this.#followed) {
      const { state } = followed.status;
      if ((state === 'stale-bootstrap' || state === 'revoked') && isMeant(trustDomain)) {
        this.#plan(trustDomain, followed, 0);
      }
    }
  }

  #endpointDomain(trustDomain: TrustDomain): TrustDomain | undefined {
    const { endpointSpiffeId } = this.#parts.registry.relationships.get(trustDomain) ?? {};
    return endpointSpiffeId && trustDomainOf(endpointSpiffeId);
  }

  #planAgain(): void {
    for (const [trustDomain, followed] of this.#followed) {
      if (followed.running === undefined) this.#plan(trustDomain, followed, this.#random() * SPREAD_MS);
    }
  }

  #plan(trustDomain: TrustDomain, followed: Followed, delayMs: number): void {
    followed.deadline?.cancel();
    if (this.#closed || this.#followed.get(trustDomain) !== followed) return;
    const nextPollAt = Math.round(this.#parts.clock.now() + delayMs);
    followed.status = { ...followed.status, nextPollAt };
    followed.deadline = this.#parts.clock.at(nextPollAt, () => {
      this.#poll(trustDomain, followed, false).catch(() => undefined);
    });
  }

  /** One fetch in flight per domain; later callers wait for it. */
  #poll(trustDomain: TrustDomain, followed: Followed, forced: boolean): Promise<PollOutcome> {
    if (followed.running !== undefined) return followed.running.outcome;
    followed.deadline?.cancel();
    followed.status = { ...followed.status, nextPollAt: undefined };
    const stop = new AbortController();
    const outcome = this.#run(trustDomain, followed, forced, stop.signal);
    followed.running = { outcome, forced, stop };
    return outcome;
  }

  async #run(trustDomain: TrustDomain, followed: Followed, forced: boolean, signal: AbortSignal): Promise<PollOutcome> {
    const leave = await (followed.slow > 0 ? this.#slowSlots : this.#slots).enter();
    const before = followed.status.state;
    const begun = performance.now();
    let isLate = false;
    try {
      const relationship = this.#parts.registry.relationships.get(trustDomain);
      if (relationship === undefined || signal.aborted)
        throw new FetchError('connection', 'the relationship has changed');
      const outcome = await this.#fetchNewest(relationship, followed, forced, signal);
      this.results.add(outcome.changed ? 'changed' : 'unchanged');
      return outcome;
    } catch (thrown) {
      isLate = thrown instanceof FetchError && thrown.reason === 'timeout';
      throw this.#failed(trustDomain, followed, thrown, signal);
    } finally {
      leave();
      followed.running = undefined;
      const isFast = !isLate && performance.now() - begun < SLOW_MS;
      followed.slow = isFast ? Math.max(0, followed.slow - 1) : FAST_AGAIN;
      const isFollowed = this.#followed.get(trustDomain) === followed;
      if (isFollowed && !this.#closed) {
        this.#plan(trustDomain, followed, this.#interval(trustDomain, followed) * (1 - JITTER * this.#random()));
        this.#tellMove(trustDomain, followed.status, before);
      }
    }
  }

  /** Fetches anew if somebody sets the bundle by hand meanwhile, as after a key of the partner was stolen. */
  async #fetchNewest(
    relationship: Relationship,
    followed: Followed,
    forced: boolean,
    signal: AbortSignal,
  ): Promise<PollOutcome> {
    for (let anew = 0; ; anew += 1) {
      try {
        return await this.#fetch(relationship, followed, forced, signal);
      } catch (thrown) {
        if (!(thrown instanceof Superseded) || anew === MOST_ANEW) throw thrown;
      }
    }
  }

  async #fetch(
    relationship: Relationship,
    followed: Followed,
    forced: boolean,
    signal: AbortSignal,
  ): Promise<PollOutcome> {
    const { registry, rules, resolve, timeoutMs, clock, log } = this.#parts;
    const { trustDomain } = relationship;
    const begun = clock.now();
    followed.status = { ...followed.status, lastAttemptAt: begun };
    const present = registry.federatedBundles.get(trustDomain);
    const trust = this.#trustOf(relationship, followed);
    const { context } = followed;
    const revision = registry.relationships.revisionOf(trustDomain);
    const { body, address } = await fetchDocument(relationship.url, trust, {
      ...{ rules, resolve, signal, timeoutMs },
      isSlow: followed.slow > 0,
    });
    const hash = createHash('sha256').update(body).digest('base64');
    const isCurrent = () =>
      registry.federatedBundles.get(trustDomain) === present && this.#isKnownBy(relationship, context?.of);
    if (!isCurrent()) throw new Superseded();
    const { last } = followed;
    // A query may have a secret of the partner's.
    const at = { trust_domain: trustDomain, url: relationship.url.split('?', 1)[0]!, address };
    if (last !== undefined && last.hash === hash && last.bundle === present) {
      log.debug(at, 'the bundle was fetched, and has not changed');
      this.#succeeded(followed, present, address, followed.status.ignored);
      return { changed: false };
    }
    const { input, ignored } = readDocument(body, trustDomain, clock.now());
    if (!forced) checkSequence(input, present);
    else if (isLower(input, present))
      log.warn(at, 'a bundle with a lower sequence number is taken, because it was forced');
    const isSame = present !== undefined && haveSameContents(present, input);
    if (
      present?.source === 'polled' &&
      !isSame &&
      input.sequenceNumber !== undefined &&
      input.sequenceNumber === present.statedSequence
    ) {
      log.warn(
        { ...at, sequence: String(input.sequenceNumber) },
        'the partner published other authorities under the same sequence number; they are taken',
      );
    }
    if (present?.source === 'manual' && !isSame) {
      log.warn(at, 'the bundle that was set by hand is replaced by the one that was fetched');
    }
    if (!isSame && this.#hasOwnRoot(input)) {
      log.warn(
        at,
        `the bundle of ${trustDomain} has a root of this trust domain: both are under the same CA, or the endpoint serves the wrong bundle`,
      );
    }
    if (ignored.length > 0) log.warn({ ...at, ignored }, 'parts of the fetched bundle were ignored');
    const isPresent = () => registry.relationships.revisionOf(trustDomain) === revision && !signal.aborted;
    const mayStore = () => isPresent() && isCurrent();
    let stored = false;
    const taken = isSame ? { ...input, ...contentsOf(present) } : input;
    const { value } = await registry.federatedBundles.setPolled(trustDomain, taken, () => {
      stored = mayStore();
      return stored;
    });
    if (!stored && isPresent()) throw new Superseded();
    if (value === undefined || !isPresent()) throw new FetchError('store', 'the relationship has changed meanwhile');
    const changed = value !== present;
    followed.last = { hash, bundle: value };
    this.#succeeded(followed, value, address, ignored);
    const told = { ...at, sequence: String(value.statedSequence ?? value.sequenceNumber) };
    if (isEmpty(value))
      log.error(told, `${trustDomain} has withdrawn all its authorities: none of its SVIDs is trusted`);
    else if (changed) log.info({ ...told, authorities: value.x509Authorities.length }, 'a bundle was fetched');
    else log.debug(told, 'the bundle was fetched, and has not changed');
    return { changed };
  }

  /** @throws FetchError if it is not known by what the endpoint is recognized */
  #trustOf({ trustDomain, profile, endpointSpiffeId, endpointCa }: Relationship, followed: Followed): EndpointTrust {
    const contextFor = (of: string | Buffer): SecureContext => {
      const former = followed.context?.of;
      const isSame = former === of || (Buffer.isBuffer(former) && Buffer.isBuffer(of) && former.equals(of));
      if (!isSame) followed.context = { of, context: contextOf(of) };
      return followed.context!.context;
    };
    if (profile === 'https_web') {
      return { profile, context: endpointCa === undefined ? undefined : contextFor(endpointCa) };
    }
    const domain = trustDomainOf(endpointSpiffeId!);
    const bundle = this.#bundleOf(domain);
    if (bundle === undefined || bundle.x509Authorities.length === 0) {
      const problem =
        bundle === undefined
          ? `the bundle of ${domain}, by which the endpoint is known, is not set`
          : `the bundle of ${domain}, by which the endpoint is known, has no authority any more`;
      throw new FetchError('bootstrap', problem, bootstrapFix(domain, trustDomain));
    }
    return { profile, spiffeId: endpointSpiffeId!, context: contextFor(bundle.authoritiesPem) };
  }

  /** Whether the authorities under which the endpoint was recognized still are those of its trust domain. */
  #isKnownBy({ profile, endpointSpiffeId }: Relationship, of: string | Buffer | undefined): boolean {
    if (profile === 'https_web') return true;
    const present = this.#bundleOf(trustDomainOf(endpointSpiffeId!))?.authoritiesPem;
    return present !== undefined && Buffer.isBuffer(of) && (present === of || present.equals(of));
  }

  #bundleOf(trustDomain: TrustDomain): TrustBundle | undefined {
    const { registry, ca } = this.#parts;
    return trustDomain === registry.trustDomain ? ca.bundle() : registry.federatedBundles.get(trustDomain);
  }

  #hasOwnRoot({ x509Authorities }: BundleContents): boolean {
    const own = this.#parts.ca.bundle().x509Authorities;
    return x509Authorities.some((der) => own.some((one) => one.equals(der)));
  }

  #succeeded(followed: Followed, bundle: FederatedBundle, address: string, ignored: readonly string[]): void {
    const now = this.#parts.clock.now();
    followed.status = {
      ...followed.status,
      state: isEmpty(bundle) ? 'revoked' : 'fresh',
      lastSuccessAt: now,
      failures: 0,
      error: undefined,
      address,
      ignored,
    };
  }

  /** @returns the error for whoever asked */
  #failed(trustDomain: TrustDomain, followed: Followed, thrown: unknown, signal: AbortSignal): SidekeyError {
    const error = thrown instanceof FetchError ? thrown : notStored(thrown);
    const told = new SidekeyError(
      'ERR_FEDERATION',
      `the bundle of ${trustDomain} was not fetched: ${error.message}${error.fix === undefined ? '' : `; ${error.fix}`}`,
      { cause: thrown, extra: { reason: error.reason } },
    );
    // The relationship was changed or deleted, or the server stops.
    if (signal.aborted) return told;
    this.results.add(error.reason);
    const { log, registry } = this.#parts;
    const former = followed.status;
    const endpointDomain = this.#endpointDomain(trustDomain);
    const isStale = endpointDomain !== undefined && this.#isStale(error.reason, endpointDomain);
    const bundle = registry.federatedBundles.get(trustDomain);
    const isRevoked = bundle !== undefined && isEmpty(bundle);
    const fix = error.fix ?? (isStale ? bootstrapFix(endpointDomain, trustDomain) : undefined);
    followed.status = {
      ...former,
      state: isRevoked ? 'revoked' : isStale ? 'stale-bootstrap' : 'failing',
      failures: former.failures + 1,
      error: { reason: error.reason, message: error.message, fix },
    };
    const at = { trust_domain: trustDomain, reason: error.reason, failures: followed.status.failures };
    // The first of its kind; the rest would only repeat it.
    const isNew = former.error?.reason !== error.reason || former.state !== followed.status.state;
    const message = `a bundle was not fetched: ${error.message}${fix === undefined ? '' : `; ${fix}`}`;
    if (isNew) log[isStale || isRevoked ? 'error' : 'warn'](at, message);
    else log.debug(at, message);
    if (fix === undefined || error.fix !== undefined) return told;
    return new SidekeyError('ERR_FEDERATION', `${told.message}; ${fix}`, { cause: thrown, extra: told.extra });
  }

  /** Whether only a new bundle of the endpoint's domain helps. */
  #isStale(reason: FetchFailure, endpointDomain: TrustDomain): boolean {
    if (reason !== 'expired') return reason === 'bootstrap' || reason === 'certificate';
    const now = this.#parts.clock.now();
    const authorities = this.#bundleOf(endpointDomain)?.x509Authorities ?? [];
    return authorities.every((der) => new X509Certificate(der).validToDate.getTime() < now);
  }

  /** Milliseconds until the next poll, without jitter. */
  #interval(trustDomain: TrustDomain, { status }: Followed): number {
    const bundle = this.#parts.registry.federatedBundles.get(trustDomain);
    const isFetched = bundle?.source === 'polled';
    // A hint of 0 says nothing.
    const hint = isFetched
      ? bundle.refreshHint || DEFAULT_REFRESH
      : status.failures > 0
        ? FIRST_REFRESH
        : DEFAULT_REFRESH;
    const { minRefresh } = this.#parts;
    return Math.max(minRefresh, Math.min(hint, MAX_REFRESH)) * 1_000;
  }

  #tellMove(trustDomain: TrustDomain, { state, error }: RelationshipStatus, before: RelationshipState): void {
    if (state === before) return;
    const { clock, log } = this.#parts;
    if (state === 'fresh' && before !== 'new') log.info({ trust_domain: trustDomain }, 'bundles are fetched again');
    this.#moves.tell({ at: clock.now(), trustDomain, state, before, detail: error?.message });
  }
}

function bootstrapFix(endpointDomain: TrustDomain, trustDomain: TrustDomain): string {
  return `get the present bundle of ${endpointDomain} from its operator, and give it with sidekey bundle set ${endpointDomain} --file BUNDLE; ${trustDomain} is polled again at once`;
}

function notStored(thrown: unknown): FetchError {
  const error = SidekeyError.from(thrown);
  return new FetchError('store', `it could not be stored (${error.code})`);
}

function isEmpty({ x509Authorities, jwtAuthorities }: BundleContents): boolean {
  return x509Authorities.length === 0 && jwtAuthorities.length === 0;
}

function isLower(input: BundleInput, present: FederatedBundle | undefined): boolean {
  const last = present?.statedSequence;
  return last !== undefined && (input.sequenceNumber === undefined || input.sequenceNumber < last);
}

/** Bundles are ordered by their sequence numbers (section 4.2). @throws FetchError */
function checkSequence(input: BundleInput, present: FederatedBundle | undefined): void {
  if (!isLower(input, present)) return;
  const { statedSequence: last, trustDomain } = present!;
  const now = input.sequenceNumber === undefined ? 'no sequence number' : `the sequence number ${input.sequenceNumber}`;
  throw new FetchError(
    'sequence',
    `the document has ${now}, and the present bundle has ${last}: it is an old one, or the partner began to count anew`,
    `if its operator confirms that: sidekey federation refresh ${trustDomain} --force`,
  );
}

/** The same authorities in any order: some servers list them in a different order each time. */
function haveSameContents(a: BundleContents, b: BundleContents): boolean {
  return keysOf(a) === keysOf(b);
}

function keysOf({ x509Authorities, jwtAuthorities }: BundleContents): string {
  const x509 = x509Authorities.map((der) => der.toString('base64')).sort();
  const jwt = jwtAuthorities.map((one) => JSON.stringify(one)).sort();
  return JSON.stringify([x509, jwt]);
}

function contentsOf({ x509Authorities, jwtAuthorities }: BundleContents): BundleContents {
  return { x509Authorities, jwtAuthorities };
}
