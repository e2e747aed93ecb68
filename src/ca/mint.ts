/**
 * Requests an intermediate from the upstream: in the background, one request at a time, and again after a while if it
 * fails. Meanwhile the authorities keep using the intermediates that they have.
 */

import { backoffApart, type Clock, type Deadline } from '../base/index.ts';
import type { AuthorityKeyType } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { generateAuthorityKey } from './authority-key.ts';
import type { MintedKey, UpstreamAuthority } from './upstream/upstream.ts';

export interface MinterOptions {
  readonly upstream: UpstreamAuthority;
  /** The type of the intermediate's key. */
  readonly keyType: AuthorityKeyType;
  /** The lifetime to ask for, in milliseconds. */
  readonly life: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Stores the answer. @throws if it cannot be used; then the minter requests another one later */
  readonly take: (minted: MintedKey) => Promise<void>;
}

/** Times in milliseconds. */
const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 300_000;
/**
 * Minimum time between two successful requests, however short the upstream's lifetimes are and however often it
 * changes.
 */
const PAUSE_MS = 10_000;

export class Minter {
  readonly #options: MinterOptions;
  readonly #end = new AbortController();
  #running: Promise<void> | undefined;
  /**
   * True if a request is needed after the running one, because the intermediate of its answer may already have expired.
   */
  #isWanted = false;
  #failures = 0;
  #trouble: string | undefined;
  #pausedUntil = 0;
  #retry: Deadline | undefined;
  readonly #stopListening: () => void;

  constructor(options: MinterOptions) {
    this.#options = options;
    this.#stopListening = options.upstream.changed?.add(() => this.#request().catch(() => undefined)) ?? (() => {});
  }

  /** Why the last request failed, or the problem of the upstream; undefined if nothing is wrong. */
  get trouble(): string | undefined {
    return this.#trouble ?? this.#options.upstream.problem();
  }

  /** Makes a request, after the pause. While one is running, notes that another is needed after it. */
  want(): void {
    const { clock } = this.#options;
    if (this.#running !== undefined) this.#isWanted = true;
    if (this.#running !== undefined || this.#end.signal.aborted) return;
    this.#isWanted = false;
    const pause = this.#pausedUntil - clock.now();
    // The pause may not grow because the clock was set back.
    if (pause <= 0 || pause > LAST_RETRY_MS) this.#request().catch(() => undefined);
    else this.#retryAfter(pause);
  }

  /** Makes a request now, or joins the running one. @throws the error of the request */
  mint(): Promise<void> {
    return this.#request();
  }

  async close(): Promise<void> {
    this.#stopListening();
    this.#retry?.cancel();
    this.#end.abort();
    await this.#running?.catch(() => undefined);
    await this.#options.upstream.close();
  }

  #request(): Promise<void> {
    this.#running ??= this.#requestNow().finally(() => {
      this.#running = undefined;
      if (this.#isWanted) this.want();
    });
    return this.#running;
  }

  async #requestNow(): Promise<void> {
    const { upstream, keyType, life, clock, log, take } = this.#options;
    this.#retry?.cancel();
    try {
      const { privateKey } = await generateAuthorityKey(keyType);
      const answer = await upstream.mint({ privateKey, life, signal: this.#end.signal });
      for (const warning of answer.warnings) log.warn({ upstream: upstream.description, warning }, 'upstream warning');
      // This answer serves every `want()` before it.
      this.#isWanted = false;
      await take({ ...answer, privateKey });
      this.#failures = 0;
      this.#trouble = undefined;
      this.#pausedUntil = clock.now() + PAUSE_MS;
    } catch (error) {
      if (this.#end.signal.aborted) throw error;
      this.#failures += 1;
      this.#trouble = (error as Error).message;
      const pause = backoffApart(this.#failures, FIRST_RETRY_MS, LAST_RETRY_MS);
      this.#pausedUntil = clock.now() + pause;
      log.warn(
        { err: error, upstream: upstream.description, retry_ms: pause },
        'the upstream has not signed an intermediate',
      );
      this.#retryAfter(pause);
      throw error;
    }
  }

  #retryAfter(pause: number): void {
    this.#retry?.cancel();
    if (this.#end.signal.aborted) return;
    this.#retry = this.#options.clock.after(pause, () => this.#request().catch(() => undefined));
  }
}
