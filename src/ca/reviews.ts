/** Runs a review of states: one at a time, at the time that the last one named, and again some time after a failure. */

import type { Clock, Deadline } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';

export interface ReviewsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The log message of a failure. */
  readonly failed: string;
  /** One review. It calls {@link Reviews.nextAt} before it ends. */
  readonly review: () => Promise<void>;
}

/** Time between a failed review and the next one, in milliseconds. */
const RETRY_MS = 30_000;

export class Reviews {
  readonly #options: ReviewsOptions;
  #running: Promise<void> | undefined;
  #failure: unknown;
  /** Resolves at the end of the next review. */
  #ended = Promise.withResolvers<void>();
  #dueAt = 0;
  #deadline: Deadline | undefined;
  readonly #stopListening: () => void;
  #closed = false;

  constructor(options: ReviewsOptions) {
    this.#options = options;
    // The instants that a review named are of the former time then.
    this.#stopListening = options.clock.onSetBack(() => void this.runAnew().catch(() => undefined));
  }

  /** Why the last review failed; undefined if it did not. */
  get failure(): unknown {
    return this.#failure;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** True if the time of the next review has come. */
  isDue(now: number): boolean {
    return now >= this.#dueAt;
  }

  /** Runs a review, or joins the running one. A failure is logged, and another review is scheduled. @throws the failure */
  run(): Promise<void> {
    this.#running ??= this.#options
      .review()
      .then(() => {
        this.#failure = undefined;
      })
      .catch((error: unknown) => {
        this.#failure = error;
        this.#options.log.error({ err: error, retry_ms: RETRY_MS }, this.#options.failed);
        this.nextAt(this.#options.clock.now() + RETRY_MS);
        throw error;
      })
      .finally(() => {
        this.#running = undefined;
        this.#ended.resolve();
        this.#ended = Promise.withResolvers();
      });
    return this.#running;
  }

  /** Runs a review after the running one, which may have missed the latest change. @throws the failure */
  async runAnew(): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(() => undefined);
    await this.run();
  }

  /** Resolves at the end of the next review, or when the reviews are closed. */
  ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Schedules the next review, in place of the one that was scheduled. @param instant milliseconds since the epoch */
  nextAt(instant: number): void {
    this.#dueAt = instant;
    this.#deadline?.cancel();
    if (this.#closed || instant === Number.POSITIVE_INFINITY) return;
    this.#deadline = this.#options.clock.at(instant, () => {
      // Not the running one, which may have begun before this instant.
      this.runAnew().catch(() => undefined); // logged, and the next one is scheduled
    });
  }

  /** Starts no more reviews. */
  stop(): void {
    this.#closed = true;
    this.#stopListening();
    this.#deadline?.cancel();
  }

  /** Waits for the running review; call {@link stop} before. */
  async close(): Promise<void> {
    this.stop();
    await this.#running?.catch(() => undefined);
    this.#ended.resolve();
  }
}
