/**
 * What is known of the engine's containers. However many callers a container has, it is asked about once for each owner:
 * those who come while the answer is on its way share it, and those who come later get what is remembered, for as long as
 * its main process lives, the engine tells of every change, and a minute at most.
 */

import type { Clock } from '../../base/clock.ts';
import { SidekeyError } from '../../base/errors.ts';
import { FairSlots, NO_CALLER, type SlotOwner } from '../../limits/fair-slots.ts';
import type { Log } from '../../telemetry/log.ts';
import { TooLargeError } from './answer.ts';
import type { Engine } from './engine.ts';
import { EventStream } from './event-stream.ts';
import type { Affected } from './events.ts';
import { type Inspection, readImageDigests, readInspection, readPids } from './inspection.ts';
import {
  canBeRemembered,
  instant,
  isAlive,
  isOfContainer,
  type MainProcess,
  type PinnedProcess,
  pinProcess,
} from './main-process.ts';
import { UnknownIds } from './unknown-ids.ts';

export interface Container extends Inspection {
  readonly main: MainProcess;
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

/** For whom a container is asked about. */
export interface Asker {
  /** Its share of the questions at a time pays for it. */
  readonly owner?: SlotOwner | undefined;
  /** The caller: most often it is the container's main process, which then takes no second question. */
  readonly pid?: number;
}

/** For all that is asked about one container, in milliseconds. */
export const INSPECT_LIMIT_MS = 1_000;
/** However healthy the events look: an engine that hangs tells none either. In milliseconds. */
export const REMEMBERED_MS = 60_000;
/**
 * Containers that are asked about at a time: as many as the engine's connections. One user, who may name any number of
 * containers where a cgroup was delegated to them, leaves half of them to others.
 */
export const QUESTIONS = { all: 8, perUser: 4, perOwner: 2 };

/**
 * Main processes that stay pinned while their containers are remembered, which takes a descriptor each: to look whether one
 * lives is a tenth of the work then.
 */
const PINNED = 32;

/** As commands show ids: engines prefer a container of such a name, which whoever starts one may give it. */
const LIKE_ID = /^[0-9a-f]{12,64}$/;

/** What the engine said of a container, and when (milliseconds since the epoch). */
interface Remembered {
  /** An error: it was too much to be read. */
  readonly answer: Container | TooLargeError;
  readonly since: number;
  /** Its main process, where that stays pinned. */
  readonly pinned: PinnedProcess | undefined;
}

/** What the engine was asked about: its main process is still pinned. */
interface Read {
  readonly container: Container;
  readonly pinned: PinnedProcess;
}

interface Asking {
  /** For one owner: another one that has asked for the same container may have to wait for its turn. */
  readonly owner: string;
  readonly answer: Promise<Container | undefined>;
}

export class Containers {
  readonly #options: ContainersOptions;
  readonly #events: EventStream;
  readonly #remembered = new Map<string, Remembered>();
  #pinned = 0;
  #closed = false;
  readonly #asking = new Map<string, Asking[]>();
  readonly #unknown: UnknownIds;
  readonly #slots = new FairSlots(QUESTIONS);
  #inspections = 0;

  constructor(options: ContainersOptions) {
    this.#options = options;
    const { engine, clock, log } = options;
    this.#unknown = new UnknownIds(clock);
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
  async get(id: string, asker: Asker = {}): Promise<Container | undefined> {
    const known = this.remembered(id);
    if (known !== undefined) return known;
    return this.#unknown.has(id) ? undefined : this.#askOnce(id, asker);
  }

  /**
   * The same where the engine need not be asked; else undefined.
   * @throws TooLargeError where its last answer was: it need not be read again to fail
   */
  remembered(id: string): Container | undefined {
    const known = this.#remembered.get(id);
    if (known === undefined) return undefined;
    if (!this.#isGood(known)) {
      this.#drop(id);
      return undefined;
    }
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

  #askOnce(id: string, asker: Asker): Promise<Container | undefined> {
    const owner = (asker.owner ?? NO_CALLER).name;
    const askings = this.#asking.get(id) ?? [];
    const underWay = askings.find((one) => one.owner === owner);
    if (underWay !== undefined) return underWay.answer;
    const read = this.#ask(id, asker);
    const answer = read.then((found) => found?.container);
    const asking = { owner, answer };
    this.#asking.set(id, [...askings, asking]);
    /** @returns true if it is remembered */
    const done = (): boolean => {
      const others = this.#asking.get(id);
      // Not there where the container changed meanwhile: what was found may be what it was before.
      if (others === undefined || !others.includes(asking)) return false;
      const left = others.filter((one) => one !== asking);
      if (left.length === 0) this.#asking.delete(id);
      else this.#asking.set(id, left);
      return this.#events.up && !this.#closed;
    };
    read.then(
      (found) => {
        const isCurrent = done();
        if (found === undefined && isCurrent) this.#unknown.add(id);
        if (found === undefined) return;
        if (isCurrent && canBeRemembered(found.container.main)) this.#remember(id, found.container, found.pinned);
        else found.pinned.close();
      },
      (error: unknown) => {
        if (done() && error instanceof TooLargeError) this.#remember(id, error);
      },
    );
    return answer;
  }

  #remember(id: string, answer: Container | TooLargeError, pinned?: PinnedProcess): void {
    this.#drop(id);
    const stays = pinned !== undefined && this.#pinned < PINNED;
    if (stays) this.#pinned += 1;
    else pinned?.close();
    this.#remembered.set(id, { answer, since: this.#options.clock.now(), pinned: stays ? pinned : undefined });
  }

  #dropAll(): void {
    for (const id of this.#remembered.keys()) this.#drop(id);
  }

  #drop(id: string): void {
    const pinned = this.#remembered.get(id)?.pinned;
    this.#remembered.delete(id);
    if (pinned === undefined) return;
    pinned.close();
    this.#pinned -= 1;
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
      const id = String((answer as { Id?: unknown } | null)?.Id);
      if (LIKE_ID.test(nameOrId) && !id.startsWith(nameOrId)) {
        throw failed(`container ${id} is called ${nameOrId}, as the id of another one may begin: use its whole id`);
      }
      return readInspection(answer, id).pid;
    });
  }

  /**
   * Asks the engine for nothing but an answer, and the kernel for what a container takes.
   * @throws ERR_ATTESTATION_FAILED within {@link INSPECT_LIMIT_MS}
   */
  async check(): Promise<void> {
    pinProcess(process.pid)?.close();
    await this.#inTime((signal) => this.#options.engine.get('/version', signal));
  }

  close(): void {
    this.#closed = true;
    this.#events.close();
    this.#options.engine.close();
    this.#dropAll();
  }

  /** What is remembered at all was told while the events were up, and is forgotten when they end. */
  #isGood({ answer, since, pinned }: Remembered): boolean {
    const age = this.#options.clock.now() - since;
    if (age < 0 || age >= REMEMBERED_MS) return false;
    if (answer instanceof TooLargeError) return true;
    if (answer.imageDigests === undefined && this.#options.wantImageDigests()) return false;
    // The engine may be late to tell of its end, and a child of it may live on.
    return pinned === undefined ? isAlive(answer.main) : !pinned.hasEnded();
  }

  async #ask(id: string, { owner = NO_CALLER, pid }: Asker): Promise<Read | undefined> {
    // It enters a path.
    if (!/^[0-9a-f]{64}$/.test(id)) throw failed('what names the container is no id');
    return this.#inTime((signal) =>
      this.#slots.run(owner, async () => {
        // It may have waited for longer than it had.
        signal.throwIfAborted();
        this.#inspections += 1;
        return this.#read(id, pid, signal);
      }),
    );
  }

  /** @param guess the pid that its main process may have */
  async #read(id: string, guess: number | undefined, signal: AbortSignal): Promise<Read | undefined> {
    let pinned = guess === undefined ? undefined : pinProcess(guess);
    let read: Read | undefined;
    try {
      let inspection = await this.#inspect(id, signal);
      if (inspection === undefined) return undefined;
      if (pinned?.pid !== inspection.pid) {
        pinned?.close();
        pinned = undefined;
        pinned = pinProcess(inspection.pid);
        if (pinned === undefined) throw failed(unseen(inspection));
        // The answer may have been old when the pid was pinned; this one is of later.
        const again = await this.#inspect(id, signal);
        if (again?.pid !== inspection.pid || again.startedAt !== inspection.startedAt) throw failed(changed(id));
        inspection = again;
      }
      const { startTicks, place } = pinned;
      if (place.id !== undefined && place.id !== id) throw failed(unseen(inspection));
      if (!isOfContainer(pinned, Date.parse(inspection.startedAt), instant())) await this.#checkPid(inspection, signal);
      const imageDigests = await this.#imageDigests(inspection, signal);
      if (pinned.hasEnded()) throw failed(changed(id));
      // It has come too late: nobody would close what is pinned.
      signal.throwIfAborted();
      read = { container: { ...inspection, main: { pid: pinned.pid, startTicks, place }, imageDigests }, pinned };
      return read;
    } finally {
      if (read === undefined) pinned?.close();
    }
  }

  async #inspect(id: string, signal: AbortSignal): Promise<Inspection | undefined> {
    const answer = await this.#options.engine.get(`/containers/${id}/json`, signal);
    return answer === undefined ? undefined : readInspection(answer, id);
  }

  /**
   * Asks the engine whether the process that it calls the main one is in the container's cgroup: needed if the process began
   * at another time, or is young and in a cgroup that a user may have made. That costs as much as all else together, and
   * needs a `ps` where the engine is.
   * @throws ERR_ATTESTATION_FAILED unless the process is in it
   */
  async #checkPid({ id, pid }: Inspection, signal: AbortSignal): Promise<void> {
    const problem = `process ${pid}, the main one of container ${id} by the engine's word, did not begin when the container was started, or did so seconds ago and is in another cgroup than engines use`;
    const remedy =
      "the pid is another process by now, or Sidekey does not share the host's pid namespace (pid: host), or the clock was set since: then restart the container";
    let pids: number[] = [];
    try {
      const answer = await this.#options.engine.get(`/containers/${id}/top?ps_args=-o%20pid`, signal);
      if (answer !== undefined) pids = readPids(answer);
    } catch (cause) {
      if (signal.aborted || !(cause instanceof SidekeyError)) throw cause;
      throw failed(`${problem}, and the engine does not say which processes are in it (${cause.message}): ${remedy}`);
    }
    if (!pids.includes(pid)) throw failed(`${problem}, and is not in its cgroup, says the engine: ${remedy}`);
  }

  async #imageDigests({ imageId }: Inspection, signal: AbortSignal): Promise<readonly string[] | undefined> {
    if (!this.#options.wantImageDigests()) return undefined;
    const image = await this.#options.engine.get(`/images/${imageId}/json`, signal);
    // An image that was deleted under its container has no names any more.
    return image === undefined ? [] : readImageDigests(image);
  }

  async #inTime<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const late = Promise.withResolvers<never>();
    const deadline = this.#options.clock.after(INSPECT_LIMIT_MS, () => {
      const error = failed(`the container engine gave no answer within ${INSPECT_LIMIT_MS} ms`);
      limit.abort(error);
      late.reject(error);
    });
    try {
      return await Promise.race([work(limit.signal), late.promise]);
    } finally {
      deadline.cancel();
    }
  }

  #forget(affected: Affected): void {
    if (affected === 'none') return;
    if (affected === 'all') {
      this.#dropAll();
      this.#asking.clear();
      this.#unknown.clear();
    } else {
      this.#drop(affected.id);
      this.#asking.delete(affected.id);
      this.#unknown.delete(affected.id);
    }
    this.#options.onChange?.();
  }
}

/** Of the process that the engine means, this process sees nothing, or another one. */
export function unseen({ id, pid }: Pick<Inspection, 'id' | 'pid'>): string {
  return `process ${pid}, the main one of container ${id} by the engine's word, is not to be seen in it here: it has ended, or Sidekey does not share the host's pid namespace (pid: host)`;
}

function changed(id: string): string {
  return `the main process of container ${id} ended while the engine was asked about it`;
}

function failed(message: string): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
