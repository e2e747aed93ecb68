/** The event stream of an engine, opened again whenever it ends. */

import type http from 'node:http';
import { backoff, type Clock, type Deadline, SidekeyError } from '../../base/index.ts';
import { type Log, Rarely } from '../../telemetry/index.ts';
import { type Engine, EngineStatusError } from './engine.ts';
import { EventLines, type LongLine, MAX_LINE_CHARACTERS } from './event-lines.ts';
import { type Affected, ALL_OF_KIND, affectedBy, CHANGES, type EventFilters, eventsPath } from './events.ts';

export interface EventStreamOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * Called for each event. It is called with `all` when the stream begins or ends, because events may have been missed,
   * and for an event that is too long.
   */
  readonly onEvent: (affected: Affected) => void;
}

const RETRY_FIRST_MS = 100;
const RETRY_LIMIT_MS = 5_000;
/**
 * After a stream that lasted this long, in milliseconds, the delay before the next one starts at RETRY_FIRST_MS again.
 */
export const STEADY_MS = 10_000;
/** Minimum interval of log lines of one kind, in milliseconds; lines in between are counted. */
export const LOG_EVERY_MS = 10_000;

/** The container's id at the beginning of a line, before any text that the container can influence. */
const ID_OF_LINE = /^\{"status":"[a-z_]+","id":"([0-9a-f]{64})"/;

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #closing = new AbortController();
  #up = false;
  #failures = 0;
  #retry: Deadline | undefined;
  /** True if the latest log line says that the stream is down. */
  #isDownLogged = false;
  readonly #downLines: Rarely;
  readonly #longLines: Rarely;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#downLines = new Rarely(options.clock, LOG_EVERY_MS);
    this.#longLines = new Rarely(options.clock, LOG_EVERY_MS);
    void this.#run();
  }

  /** True while the stream is open, so that every change is reported. */
  get up(): boolean {
    return this.#up;
  }

  close(): void {
    this.#retry?.cancel();
    this.#closing.abort(new Error('closing'));
  }

  async #run(): Promise<void> {
    const { clock, onEvent } = this.#options;
    let failure: unknown = new SidekeyError('ERR_ATTESTATION_FAILED', 'the engine ended the stream');
    let upSince = Number.POSITIVE_INFINITY;
    try {
      const events = await this.#open();
      upSince = clock.now();
      await this.#follow(events);
    } catch (error) {
      failure = error;
    }
    if (this.#up) onEvent('all');
    this.#up = false;
    if (this.#closing.signal.aborted) return;
    if (clock.now() - upSince >= STEADY_MS) this.#failures = 0;
    this.#failures += 1;
    this.#logDown(failure);
    const delay = backoff(this.#failures, RETRY_FIRST_MS, RETRY_LIMIT_MS);
    this.#retry = clock.after(delay, () => void this.#run());
  }

  async #open(): Promise<http.IncomingMessage> {
    const { engine, clock } = this.#options;
    const open = (filters: EventFilters) => engine.open(eventsPath(clock.now(), filters), this.#closing.signal);
    try {
      return await open(CHANGES);
    } catch (error) {
      if (!(error instanceof EngineStatusError)) throw error;
      return await open(ALL_OF_KIND);
    }
  }

  async #follow(events: http.IncomingMessage): Promise<void> {
    const { log, onEvent } = this.#options;
    onEvent('all');
    this.#up = true;
    if (this.#isDownLogged) log.info('the event stream of the container engine is back');
    this.#isDownLogged = false;
    const lines = new EventLines();
    for await (const text of events.setEncoding('utf8') as AsyncIterable<string>) {
      for (const line of lines.push(text))
        onEvent(typeof line === 'string' ? affectedBy(parse(line)) : this.#tooLong(line));
    }
  }

  #tooLong({ beginning }: LongLine): Affected {
    const leftOut = this.#longLines.mayTell();
    if (leftOut !== undefined) {
      const container = ID_OF_LINE.exec(beginning)?.[1];
      const message = `an event of the container engine has more than ${MAX_LINE_CHARACTERS} characters, probably because its container has very long labels: all cached answers of the engine are dropped`;
      this.#options.log.warn({ ...(container === undefined ? {} : { container }), left_out: leftOut }, message);
    }
    return 'all';
  }

  #logDown(failure: unknown): void {
    if (this.#isDownLogged) return;
    const leftOut = this.#downLines.mayTell();
    if (leftOut === undefined) return;
    this.#isDownLogged = true;
    const message =
      'the event stream of the container engine is down: its answers are not cached until it is back; retrying';
    const reason = failure instanceof Error ? failure.message : String(failure);
    this.#options.log.warn({ reason, left_out: leftOut }, message);
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new SidekeyError('ERR_ATTESTATION_FAILED', "the container engine's event is not JSON");
  }
}
