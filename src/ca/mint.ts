/**
 * Requests an intermediate from the upstream: in the background, one request at a time, and again after a while if it
 * fails. The authorities go on with what they have meanwhile.
 */

import type { KeyObject } from 'node:crypto';
import { backoffApart, type Clock, type Deadline } from '../base/index.ts';
import type { AuthorityKeyType } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { generateAuthorityKey } from './authority-key.ts';
import type { Minted, UpstreamAuthority } from './upstream/upstream.ts';

/** An answer with the key that it is for. */
export interface MintedKey extends Minted {
  readonly privateKey: KeyObject;
}

export interface MinterOptions {
  readonly upstream: UpstreamAuthority;
  /** Of the intermediate's key. */
  readonly keyType: AuthorityKeyType;
  /** The lifetime to ask for, in milliseconds. */
  readonly life: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes the answer. @throws if it cannot be used; then another one is requested later */
  readonly take: (minted: MintedKey) => Promise<void>;
}

/** Times in milliseconds. */
const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 300_000;
/** Between two successful requests, whatever the upstream's lifetimes and changes are. */
const PAUSE_MS = 10_000;

export class Minter {
  readonly #options: MinterOptions;
  readonly #end = new AbortController();
  #running: Promise<void> | undefined;
  /** Another request is wanted after the one under way, whose answer was of no use: it may have ended on its way. */
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

  /** Why the last request failed, or what is wrong with the upstream; undefined if all is well. */
  get trouble(): string | undefined {
    return this.#trouble ?? this.#options.upstream.problem();
  }

  /** Makes a request: after the one under way, if its answer is there, and after the pause. */
  want(): void {
    const { clock } = this.#options;
    if (this.#running !== undefined) this.#isWanted = true;
    if (this.#running !== undefined || this.#end.signal.aborted) return;
    this.#isWanted = false;
    const pause = this.#pausedUntil - clock.now();
    // A clock that was set back would make the pause longer.
    if (pause <= 0 || pause > LAST_RETRY_MS) this.#request().catch(() => undefined);
    else this.#retryAfter(pause);
  }

  /** Makes a request now, or joins the one under way. @throws what made it fail */
  mint(): Promise<void> {
    return this.#request();
  }

  /** Resolves when the request that is under way, if any, has ended. @throws what made it fail */
  async settled(): Promise<void> {
    await this.#running;
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
      // Whoever wanted one before gets this.
      this.#isWanted = false;
      await take({ ...answer, privateKey: answer.privateKey ?? privateKey });
      await upstream.taken?.();
      this.#failures = 0;
      this.#trouble = undefined;
      this.#pausedUntil = clock.now() + PAUSE_MS;
    } catch (error) {
      if (this.#end.signal.aborted) throw error;
      this.#failures += 1;
      this.#trouble = (error as Error).message;
      const pause = backoffApart(this.#failures, FIRST_RETRY_MS, LAST_RETRY_MS);
      this.#pausedUntil = clock.now() + pause;
      log.warn({ err: error, upstream: upstream.description, retry_ms: pause }, 'the upstream gave no intermediate');
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
