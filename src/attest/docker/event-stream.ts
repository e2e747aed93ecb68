/** A connection to an engine's events that is made again whenever it ends. */

import { backoff } from '../../base/backoff.ts';
import type { Clock, Deadline } from '../../base/clock.ts';
import { SidekeyError } from '../../base/errors.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Engine } from './engine.ts';
import { type Affected, affectedBy, eventsPath } from './events.ts';

export interface EventStreamOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each event, and of `all` when the stream comes up and when it ends: what happened before is not known. */
  readonly onEvent: (affected: Affected) => void;
}

const RETRY_FIRST_MS = 100;
const RETRY_LIMIT_MS = 5_000;
/** One event has the labels of a container in it. */
const MAX_LINE_CHARACTERS = 1024 * 1024;

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #closing = new AbortController();
  #up = false;
  #failures = 0;
  #retry: Deadline | undefined;
  /** Set while the log's last word was that the engine can't be reached. */
  #lamented = false;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    void this.#run();
  }

  /** True while every change is told. */
  get up(): boolean {
    return this.#up;
  }

  close(): void {
    this.#retry?.cancel();
    this.#closing.abort(new Error('closing'));
  }

  async #run(): Promise<void> {
    let failure: unknown = new SidekeyError('ERR_ATTESTATION_FAILED', 'the stream of its events ended');
    try {
      await this.#follow();
    } catch (error) {
      failure = error;
    }
    if (this.#up) this.#options.onEvent('all');
    this.#up = false;
    if (this.#closing.signal.aborted) return;
    this.#failures += 1;
    if (!this.#lamented) this.#lament(failure);
    const delay = backoff(this.#failures, RETRY_FIRST_MS, RETRY_LIMIT_MS);
    this.#retry = this.#options.clock.after(delay, () => void this.#run());
  }

  async #follow(): Promise<void> {
    const { engine, clock, log, onEvent } = this.#options;
    const events = await engine.open(eventsPath(clock.now()), this.#closing.signal);
    onEvent('all');
    this.#up = true;
    this.#failures = 0;
    if (this.#lamented) log.info('the container engine is there again');
    this.#lamented = false;
    let rest = '';
    for await (const text of events.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) if (line.trim() !== '') onEvent(affectedBy(parse(line)));
      if (rest.length > MAX_LINE_CHARACTERS) throw unreadable();
    }
  }

  #lament(err: unknown): void {
    this.#lamented = true;
    const message = 'the container engine tells no events: nothing it said is remembered, and it is tried again';
    this.#options.log.warn({ err }, message);
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw unreadable();
  }
}

function unreadable(): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', "the container engine's events can't be read");
}
