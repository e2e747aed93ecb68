/**
 * What is known of the engine's containers. However many callers a container has, it is asked about once: those who
 * come while the answer is on its way share it, and those who come later get what is remembered, for as long as the
 * engine tells of every change and a minute at most.
 */

import type { Clock } from '../../base/clock.ts';
import { SidekeyError } from '../../base/errors.ts';
import type { Log } from '../../telemetry/log.ts';
import { readCgroupText } from '../proc/cgroup.ts';
import { TooLargeError } from './answer.ts';
import { type CgroupPlace, parseCgroup } from './cgroup.ts';
import type { Engine } from './engine.ts';
import { EventStream } from './event-stream.ts';
import type { Affected } from './events.ts';
import { type Inspection, readImageDigests, readInspection } from './inspection.ts';

export interface Container extends Inspection {
  /** Where its main process is. */
  readonly place: CgroupPlace;
  /** `sha256:<64 hex>`, by which registries know its image; undefined where that was not asked. */
  readonly imageDigests: readonly string[] | undefined;
}

export interface ContainersOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  /** Asked at each reading. */
  readonly wantImageDigests: () => boolean;
  /** Told when some container may be another one than before, as soon as what was remembered of it is forgotten. */
  readonly onChange?: () => void;
}

/** For all that is asked about one container, in milliseconds. */
export const INSPECT_LIMIT_MS = 1_000;
/** However healthy the events look: an engine that hangs tells none either. In milliseconds. */
export const REMEMBERED_MS = 60_000;

/** What the engine said of a container, and when (milliseconds since the epoch); an error: it was too much to be read. */
interface Remembered {
  readonly answer: Container | TooLargeError;
  readonly since: number;
}

export class Containers {
  readonly #options: ContainersOptions;
  readonly #events: EventStream;
  readonly #remembered = new Map<string, Remembered>();
  readonly #asking = new Map<string, Promise<Container | undefined>>();
  #inspections = 0;

  constructor(options: ContainersOptions) {
    this.#options = options;
    const { engine, clock, log } = options;
    this.#events = new EventStream({ engine, clock, log, onEvent: (affected) => this.#forget(affected) });
  }

  /** How many times the engine was asked about a container, since the start. */
  get inspections(): number {
    return this.#inspections;
  }

  /** True while what the engine said is remembered. */
  get remembering(): boolean {
    return this.#events.up;
  }

  /**
   * A container that runs; undefined where the engine knows none of this id (64 hexadecimal digits).
   * @throws ERR_ATTESTATION_FAILED within {@link INSPECT_LIMIT_MS}
   */
  async get(id: string): Promise<Container | undefined> {
    return this.remembered(id) ?? this.#askOnce(id);
  }

  /**
   * The same where the engine need not be asked; else undefined.
   * @throws TooLargeError where its last answer was: it need not be read again to fail
   */
  remembered(id: string): Container | undefined {
    const known = this.#remembered.get(id);
    if (known === undefined || !this.#isGood(known)) return undefined;
    if (known.answer instanceof TooLargeError) throw known.answer;
    return known.answer;
  }

  /** What was remembered last of a container, however old, for no decision; undefined where it is forgotten. */
  known(id: string): Container | undefined {
    const known = this.#remembered.get(id)?.answer;
    return known instanceof TooLargeError ? undefined : known;
  }

  /** As {@link known}, of each container. */
  *all(): Iterable<Container> {
    for (const { answer } of this.#remembered.values()) if (!(answer instanceof TooLargeError)) yield answer;
  }

  #askOnce(id: string): Promise<Container | undefined> {
    let asking = this.#asking.get(id);
    if (asking === undefined) {
      asking = this.#ask(id);
      this.#asking.set(id, asking);
      const begun = asking;
      const done = (answer: Container | TooLargeError | undefined): void => {
        // Another one, or none, where the container changed meanwhile: what was found may be what it was before.
        if (this.#asking.get(id) !== begun) return;
        this.#asking.delete(id);
        if (answer !== undefined && this.#events.up) {
          this.#remembered.set(id, { answer, since: this.#options.clock.now() });
        }
      };
      asking.then(done, (error: unknown) => done(error instanceof TooLargeError ? error : undefined));
    }
    return asking;
  }

  /**
   * The main process of the running container of this name or id (or its beginning); undefined where the engine knows
   * none. @throws ERR_ATTESTATION_FAILED within {@link INSPECT_LIMIT_MS}
   */
  mainPid(nameOrId: string): Promise<number | undefined> {
    // It enters a path.
    if (!/^[A-Za-z0-9][\w.-]*$/.test(nameOrId)) return Promise.resolve(undefined);
    return this.#inTime(async (signal) => {
      const answer = await this.#options.engine.get(`/containers/${nameOrId}/json`, signal);
      if (answer === undefined) return undefined;
      return readInspection(answer, String((answer as { Id?: unknown } | null)?.Id)).pid;
    });
  }

  /** Asks the engine for nothing but an answer. @throws ERR_ATTESTATION_FAILED within {@link INSPECT_LIMIT_MS} */
  async check(): Promise<void> {
    await this.#inTime((signal) => this.#options.engine.get('/version', signal));
  }

  close(): void {
    this.#events.close();
    this.#options.engine.close();
  }

  /** What is remembered at all was told while the events were up, and is forgotten when they end. */
  #isGood({ answer, since }: Remembered): boolean {
    const age = this.#options.clock.now() - since;
    const isComplete =
      answer instanceof TooLargeError || answer.imageDigests !== undefined || !this.#options.wantImageDigests();
    return isComplete && age >= 0 && age < REMEMBERED_MS;
  }

  async #ask(id: string): Promise<Container | undefined> {
    const { engine, wantImageDigests } = this.#options;
    // It enters a path.
    if (!/^[0-9a-f]{64}$/.test(id)) throw failed('what names the container is no id');
    this.#inspections += 1;
    return this.#inTime(async (signal) => {
      const answer = await engine.get(`/containers/${id}/json`, signal);
      if (answer === undefined) return undefined;
      const inspection = readInspection(answer, id);
      const place = placeOfMain(inspection);
      if (!wantImageDigests()) return { ...inspection, place, imageDigests: undefined };
      const image = await engine.get(`/images/${inspection.imageId}/json`, signal);
      // An image that was deleted under its container has no names any more.
      return { ...inspection, place, imageDigests: image === undefined ? [] : readImageDigests(image) };
    });
  }

  async #inTime<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const deadline = this.#options.clock.after(INSPECT_LIMIT_MS, () =>
      limit.abort(failed(`the container engine gave no answer within ${INSPECT_LIMIT_MS} ms`)),
    );
    try {
      return await work(limit.signal);
    } finally {
      deadline.cancel();
    }
  }

  #forget(affected: Affected): void {
    if (affected === 'none') return;
    for (const map of [this.#remembered, this.#asking]) {
      if (affected === 'all') map.clear();
      else map.delete(affected.id);
    }
    this.#options.onChange?.();
  }
}

function placeOfMain({ id, pid }: Inspection): CgroupPlace {
  try {
    return parseCgroup(readCgroupText(pid));
  } catch (cause) {
    const message = `process ${pid}, the main one of container ${id} by the engine's word, is not to be seen here: does Sidekey share the host's pid namespace (pid: host)?`;
    throw new SidekeyError('ERR_ATTESTATION_FAILED', message, { cause });
  }
}

function failed(message: string): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
