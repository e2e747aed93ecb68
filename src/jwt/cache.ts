/** Tokens by what was asked for, with a limit for each identity and one on the memory of all. */

import type { JwtSvid } from './issuer.ts';

export interface CachedToken {
  readonly svid: JwtSvid;
  /** When a new one is signed in its place, in milliseconds since the epoch. */
  readonly renewAt: number;
}

interface Kept extends CachedToken {
  readonly bytes: number;
}

interface IdentityTokens {
  readonly keys: Set<string>;
  bytes: number;
}

/** Of all tokens, with their keys. */
const MAX_BYTES = 64 * 1024 * 1024;
/** Of one identity's. */
const MAX_BYTES_PER_ID = 4 * 1024 * 1024;
/** An estimate of the memory of a cached token, besides its texts. */
const OVERHEAD_BYTES = 400;

export class TokenCache {
  readonly #mostPerId: number;
  /** The ones that were added first come first. */
  readonly #tokens = new Map<string, Kept>();
  readonly #byId = new Map<string, IdentityTokens>();
  #bytes = 0;

  /** @param mostPerId the maximum number of tokens for each identity */
  constructor(mostPerId: number) {
    this.#mostPerId = mostPerId;
  }

  /** The estimated memory, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#tokens.size;
  }

  get(key: string): CachedToken | undefined {
    return this.#tokens.get(key);
  }

  /** Adds a token, or replaces it; removes the oldest ones beyond the limits. */
  set(key: string, token: CachedToken): void {
    this.delete(key);
    if (this.#mostPerId === 0) return;
    const { spiffeId } = token.svid;
    const bytes = key.length + token.svid.token.length + OVERHEAD_BYTES;
    this.#tokens.set(key, { ...token, bytes });
    const identity = this.#byId.get(spiffeId) ?? { keys: new Set(), bytes: 0 };
    this.#byId.set(spiffeId, identity);
    identity.keys.add(key);
    identity.bytes += bytes;
    this.#bytes += bytes;
    while (identity.keys.size > this.#mostPerId || identity.bytes > MAX_BYTES_PER_ID) this.#deleteFirst(identity.keys);
    while (this.#bytes > MAX_BYTES) this.#deleteFirst(this.#tokens.keys());
  }

  delete(key: string): void {
    const kept = this.#tokens.get(key);
    if (kept === undefined) return;
    const { spiffeId } = kept.svid;
    const identity = this.#byId.get(spiffeId)!;
    this.#tokens.delete(key);
    this.#bytes -= kept.bytes;
    identity.keys.delete(key);
    identity.bytes -= kept.bytes;
    if (identity.keys.size === 0) this.#byId.delete(spiffeId);
  }

  /** Removes the tokens that have ended, a few in each step. @param now milliseconds since the epoch */
  *sweep(now: number): Generator<void> {
    let looked = 0;
    for (const [key, { svid }] of this.#tokens) {
      if (svid.expiresAt <= now) this.delete(key);
      looked += 1;
      if (looked % SWEPT_AT_ONCE === 0) yield;
    }
  }

  #deleteFirst(keys: Iterable<string>): void {
    for (const key of keys) {
      this.delete(key);
      return;
    }
  }
}

const SWEPT_AT_ONCE = 5_000;
