/**
 * JWT-SVIDs for workloads: new ones within a limit, and the ones that are cached until half of their life is over.
 *
 * What a token depends on is part of its key in the cache, so a changed entry or a tainted key needs no notice.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Clock, type Deadline, TokenBucket } from '../base/index.ts';
import { LimitError } from '../limits/index.ts';
import type { Entry, IssuanceStore } from '../registry/index.ts';
import type { SpiffeId } from '../spiffe/index.ts';
import type { Counters, Log } from '../telemetry/index.ts';
import { checkAudiences } from './audiences.ts';
import { type CachedToken, TokenCache } from './cache.ts';
import type { TokenCounts } from './counts.ts';
import type { JwtSvid, TokenRequest, TokenSource } from './issuer.ts';

export interface JwtSvidsOptions {
  readonly source: TokenSource;
  /** Records of ended tokens are deleted here; undefined: they are elsewhere. */
  readonly issuances?: Pick<IssuanceStore, 'pruneTokens'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: TokenCounts;
  readonly counters: Pick<Counters, 'limits'>;
  /** The TTL for entries without one, in seconds. */
  readonly jwtSvidTtl: number;
  readonly maxJwtAudiences: number;
  readonly maxJwtSvidsPerSecondPerId: number;
  readonly maxCachedJwtSvidsPerId: number;
}

export interface JwtSvidRequest {
  readonly spiffeId: SpiffeId;
  /** The entry that gives the identity. */
  readonly entry: Pick<Entry, 'id' | 'jwtSvidTtl' | 'expiresAt'>;
  /** As the caller sent them. */
  readonly audiences: readonly string[];
  /** Seconds; by default the entry's, or the server's. */
  readonly ttl?: number;
}

/** Time between two removals of ended tokens and their records, in milliseconds. */
const CLEAN_EACH_MS = 10 * 60_000;
/** The number of records that are deleted in one turn of the event loop. */
const PRUNED_AT_ONCE = 1_000;

export class JwtSvids {
  readonly #options: JwtSvidsOptions;
  readonly #cache: TokenCache;
  readonly #signing = new Map<string, Promise<JwtSvid>>();
  /** The limits of new tokens, by SPIFFE ID. */
  readonly #buckets = new Map<SpiffeId, TokenBucket>();
  #cleaning: Deadline;
  #closed = false;

  constructor(options: JwtSvidsOptions) {
    this.#options = options;
    this.#cache = new TokenCache(options.maxCachedJwtSvidsPerId);
    this.#cleaning = options.clock.after(CLEAN_EACH_MS, () => this.#clean());
  }

  /**
   * A token for these audiences, sorted, each one once: the cached one in the first half of its life, else a new one, which
   * is on record when the promise resolves. If no new one can be made, the cached one until it ends.
   * @throws AudienceError; LimitError if the identity gets too many new tokens; ERR_CA, ERR_STORE
   */
  async sign(request: JwtSvidRequest): Promise<JwtSvid> {
    const { spiffeId, entry } = request;
    const { counts } = this.#options;
    const audiences = this.checkAudiences(request.audiences);
    const ttl = request.ttl ?? (entry.jwtSvidTtl === 0 ? this.#options.jwtSvidTtl : entry.jwtSvidTtl);
    const key = [entry.id, spiffeId, ttl, entry.expiresAt, ...audiences].join('\n');
    const cached = this.#cache.get(key);
    if (cached !== undefined && this.#isFresh(cached)) return this.#again(cached);
    const signing = this.#signing.get(key);
    if (signing !== undefined) {
      counts.results.add('cached');
      return signing;
    }
    const isAllowed = this.#mayIssue(spiffeId);
    if (!isAllowed && cached !== undefined && this.#isValid(cached)) return this.#again(cached);
    if (!isAllowed) throw this.#tooMany(spiffeId);
    const token = { entryId: entry.id, spiffeId, audiences, ttl, notAfter: entry.expiresAt };
    const issued = this.#issue(key, token, cached).finally(() => this.#signing.delete(key));
    this.#signing.set(key, issued);
    return issued;
  }

  /** Sorted, each one once. @throws AudienceError if there could be no token for these audiences */
  checkAudiences(audiences: readonly string[]): readonly string[] {
    try {
      return checkAudiences(audiences, this.#options.maxJwtAudiences);
    } catch (error) {
      this.#options.counts.results.add('refused');
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cleaning.cancel();
    await this.#options.source.close();
  }

  async #issue(key: string, request: TokenRequest, cached: CachedToken | undefined) {
    const { clock, log } = this.#options;
    const begin = clock.now();
    try {
      const svid = await this.#options.counts.measure(() => this.#options.source.issue(request));
      this.#cache.set(key, { svid, renewAt: begin + (svid.expiresAt - begin) / 2 });
      return svid;
    } catch (err) {
      if (cached === undefined || !this.#isValid(cached)) throw err;
      log.error({ err, entry_id: request.entryId }, 'no new JWT-SVID could be issued: the cached one is given out');
      return this.#again(cached);
    }
  }

  #again({ svid }: CachedToken): JwtSvid {
    this.#options.counts.results.add('cached');
    return svid;
  }

  #isFresh(cached: CachedToken): boolean {
    return this.#isValid(cached) && this.#options.clock.now() < cached.renewAt;
  }

  /** False for the token of a tainted key, and if the clock was set back to before its start. */
  #isValid({ svid }: CachedToken): boolean {
    const now = this.#options.clock.now();
    return svid.issuedAt <= now && now < svid.expiresAt && this.#options.source.isTrusted(svid.keyId);
  }

  #mayIssue(spiffeId: SpiffeId): boolean {
    const most = this.#options.maxJwtSvidsPerSecondPerId;
    const bucket = this.#buckets.get(spiffeId) ?? new TokenBucket(most);
    this.#buckets.set(spiffeId, bucket);
    return bucket.take(most, most, this.#options.clock.now());
  }

  #tooMany(spiffeId: SpiffeId): LimitError {
    const { maxJwtSvidsPerSecondPerId: most, counts, counters } = this.#options;
    counts.results.add('refused');
    counters.limits.add('maxJwtSvidsPerSecondPerId');
    return new LimitError(
      `${spiffeId} gets at most ${most} new JWT-SVIDs a second (--max-jwt-svids-per-second-per-id): use a token until it ends`,
    );
  }

  #clean(): void {
    this.#cleanNow()
      .catch((err: unknown) => this.#options.log.error({ err }, 'records of ended JWT-SVIDs could not be deleted'))
      .finally(() => {
        if (!this.#closed) this.#cleaning = this.#options.clock.after(CLEAN_EACH_MS, () => this.#clean());
      });
  }

  async #cleanNow(): Promise<void> {
    const now = this.#options.clock.now();
    for (const _ of this.#cache.sweep(now)) await nextTurn();
    this.#forgetFull(now);
    const { issuances } = this.#options;
    let pruned = PRUNED_AT_ONCE;
    while (issuances !== undefined && pruned === PRUNED_AT_ONCE && !this.#closed) {
      pruned = await issuances.pruneTokens(now, PRUNED_AT_ONCE);
      await nextTurn();
    }
  }

  /** A bucket that is full again is the same as a new one. */
  #forgetFull(now: number): void {
    const most = this.#options.maxJwtSvidsPerSecondPerId;
    for (const [spiffeId, bucket] of this.#buckets) {
      if (bucket.left(most, most, now) >= most) this.#buckets.delete(spiffeId);
    }
  }
}
