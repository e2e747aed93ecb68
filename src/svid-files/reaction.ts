/** What follows a change of the files: something is run or signalled, and tried again if that fails. */

import { backoff, type Clock, type Deadline } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';

/** `x509`: certificate, key or bundle; `jwt`: a token; `jwt-bundle`: the keys that verify tokens. */
export type Kind = 'x509' | 'jwt' | 'jwt-bundle';

export interface Reaction {
  /** For the log and the health endpoint, without arguments: `the command psql`. */
  readonly what: string;
  /** Resolves when it is done. @throws Error with the reason, to be tried again; `brief` is the part for the health endpoint */
  react(kinds: readonly Kind[]): Promise<void>;
  /** Ends what is still running. */
  close(): Promise<void>;
}

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;
/** Then the next change of the files is awaited. */
const MAX_TRIES = 10;

/** Runs one reaction after another. Changes that come meanwhile are joined to one. */
export class Reactor {
  readonly #reaction: Reaction;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #pending = new Set<Kind>();
  #running: Promise<void> | undefined;
  #retry: Deadline | undefined;
  #failures = 0;
  #problem: string | undefined;
  #isClosed = false;

  constructor(reaction: Reaction, log: Log, clock: Clock) {
    this.#reaction = reaction;
    this.#log = log;
    this.#clock = clock;
  }

  /** Why the last try failed, without the output of a command; undefined if it did not. */
  get problem(): string | undefined {
    return this.#problem;
  }

  changed(kinds: readonly Kind[]): void {
    for (const kind of kinds) this.#pending.add(kind);
    this.#failures = 0;
    this.#retry?.cancel();
    this.#next();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#retry?.cancel();
    await this.#reaction.close();
    await this.#running;
  }

  #next(): void {
    if (this.#isClosed || this.#running !== undefined || this.#pending.size === 0) return;
    const kinds = [...this.#pending].sort();
    this.#pending.clear();
    this.#running = this.#run(kinds).finally(() => {
      this.#running = undefined;
      if (this.#failures === 0) this.#next();
    });
  }

  async #run(kinds: readonly Kind[]): Promise<void> {
    const { what } = this.#reaction;
    try {
      await this.#reaction.react(kinds);
      this.#problem = undefined;
      this.#failures = 0;
      this.#log.info({ changed: kinds }, `${what}: done`);
    } catch (thrown) {
      const { message, brief = message } = thrown as Error & { readonly brief?: string };
      this.#problem = `${what}: ${brief}`;
      // A change that came meanwhile is a reason to try at once.
      const isChanged = this.#pending.size > 0;
      for (const kind of kinds) this.#pending.add(kind);
      this.#failures = isChanged ? 0 : this.#failures + 1;
      if (!this.#isClosed && !isChanged) this.#tryLater(message);
    }
  }

  #tryLater(problem: string): void {
    const { what } = this.#reaction;
    if (this.#failures >= MAX_TRIES) {
      this.#log.error({ problem }, `${what} failed ${MAX_TRIES} times; it is tried again when the files change`);
      return;
    }
    const delay = backoff(this.#failures, FIRST_RETRY_MS, LAST_RETRY_MS);
    this.#log.error({ problem, retry_in_ms: delay }, `${what} failed`);
    this.#retry = this.#clock.after(delay, () => this.#next());
  }
}
