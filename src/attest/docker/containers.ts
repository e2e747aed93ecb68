/**
 * Inspects the engine's containers and caches the results. Concurrent requests of one owner for a container share one
 * inspection. A result is cached for at most a minute, as long as the container's main process is alive and the
 * engine's event stream is up.
 */

import { type Clock, SidekeyError } from '../../base/index.ts';
import { FairSlots, NO_CALLER, type SlotOwner } from '../../limits/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { TooLargeError } from './answer.ts';
import type { Engine } from './engine.ts';
import { EventStream } from './event-stream.ts';
import type { Affected } from './events.ts';
import { type ContainerInspection, type ImageInspection, readImage, readInspection, readPids } from './inspection.ts';
import {
  canBeCached,
  instant,
  isAlive,
  isMainProcess,
  type MainProcess,
  type PinnedProcess,
  pinProcess,
} from './main-process.ts';
import { UnknownIds } from './unknown-ids.ts';

export interface Container extends ContainerInspection {
  readonly main: MainProcess;
  /**
   * Its image; undefined if the engine was not asked for it. The image of a running container can be deleted: then why
   * nothing is known of it.
   */
  readonly image: ImageInspection | { readonly why: string } | undefined;
}

export interface ContainersOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  /** Called at each inspection. */
  readonly wantImage: () => boolean;
  /** Called when a container may have changed, after its cached result was dropped. */
  readonly onChange?: () => void;
}

/** The caller for which a container is inspected. */
export interface InspectionCaller {
  /** The owner that is charged for the inspection. */
  readonly owner?: SlotOwner | undefined;
  /** Its pid. Usually it is the container's main process; then one request to the engine is sufficient. */
  readonly pid?: number;
}

/** Time limit of all requests about one container, in milliseconds. */
export const INSPECT_LIMIT_MS = 1_000;
/** How long a result is cached, in milliseconds. There is a limit because an engine that hangs sends no events. */
export const CACHED_MS = 60_000;
/**
 * Maximum number of concurrent inspections, as many as the engine's connections. A user may get only half of them,
 * because a user with a delegated cgroup can name any number of containers.
 */
export const INSPECTIONS = { all: 8, perUser: 4, perOwner: 2 };

/**
 * Maximum number of main processes that stay pinned, with a descriptor each, while their containers are cached.
 * Checking that a pinned process is alive takes a tenth of the time.
 */
const PINNED = 32;

/**
 * The form of an id or its beginning, as commands show it. A name can have this form too, and engines prefer the name.
 */
const LIKE_ID = /^[0-9a-f]{12,64}$/;

interface CachedAnswer {
  /** An error if the engine's answer exceeded a limit. */
  readonly answer: Container | TooLargeError;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Its main process, if that stays pinned. */
  readonly pinned: PinnedProcess | undefined;
}

/** The result of an inspection, with the main process still pinned. */
interface PinnedContainer {
  readonly container: Container;
  readonly pinned: PinnedProcess;
}

interface PendingInspection {
  /** Owners do not share an inspection, because one owner may wait longer for its turn than another. */
  readonly owner: string;
  readonly answer: Promise<Container | undefined>;
}

export class Containers {
  readonly #options: ContainersOptions;
  readonly #events: EventStream;
  readonly #cache = new Map<string, CachedAnswer>();
  #pinned = 0;
  #closed = false;
  readonly #pending = new Map<string, PendingInspection[]>();
  readonly #unknown: UnknownIds;
  readonly #slots = new FairSlots(INSPECTIONS);
  #inspections = 0;

  constructor(options: ContainersOptions) {
    this.#options = options;
    const { engine, clock, log } = options;
    this.#unknown = new UnknownIds(clock);
    this.#events = new EventStream({ engine, clock, log, onEvent: (affected) => this.#forget(affected) });
  }

  /** The number of inspections since the start. */
  get inspections(): number {
    return this.#inspections;
  }

  /** True while results are cached. */
  get caching(): boolean {
    return this.#events.up;
  }

  /**
   * A running container; undefined if the engine knows no container with this id (64 hexadecimal digits).
   * @throws ERR_ATTESTATION_FAILED within {@link INSPECT_LIMIT_MS}
   */
  async get(id: string, caller: InspectionCaller = {}): Promise<Container | undefined> {
    const cached = this.cached(id);
    if (cached !== undefined) return cached;
    return this.#unknown.has(id) ? undefined : this.#inspectOnce(id, caller);
  }

  /**
   * A running container from the cache; undefined if the engine must be asked.
   * @throws TooLargeError if the cached answer exceeded a limit
   */
  cached(id: string): Container | undefined {
    const cached = this.#cache.get(id);
    if (cached === undefined) return undefined;
    if (!this.#isValid(cached)) {
      this.#drop(id);
      return undefined;
    }
    if (cached.answer instanceof TooLargeError) throw cached.answer;
    return cached.answer;
  }

  /** The cached result of a container, even if outdated, for messages only; undefined if there is none. */
  lastKnown(id: string): Container | undefined {
    const answer = this.#cache.get(id)?.answer;
    return answer instanceof TooLargeError ? undefined : answer;
  }

  /** Like {@link lastKnown}, for all containers. */
  *all(): Iterable<Container> {
    for (const { answer } of this.#cache.values()) if (!(answer instanceof TooLargeError)) yield answer;
  }

  #inspectOnce(id: string, caller: InspectionCaller): Promise<Container | undefined> {
    const owner = (caller.owner ?? NO_CALLER).name;
    const ofContainer = this.#pending.get(id) ?? [];
    const shared = ofContainer.find((one) => one.owner === owner);
    if (shared !== undefined) return shared.answer;
    const inspected = this.#inTurn(id, caller);
    const answer = inspected.then((found) => found?.container);
    const pending = { owner, answer };
    this.#pending.set(id, [...ofContainer, pending]);
    /** Removes the pending inspection. Returns true if its result may be cached. */
    const done = (): boolean => {
      const others = this.#pending.get(id);
      // It was removed if the container changed, and then the result may be outdated.
      if (others === undefined || !others.includes(pending)) return false;
      const left = others.filter((one) => one !== pending);
      if (left.length === 0) this.#pending.delete(id);
      else this.#pending.set(id, left);
      return this.#events.up && !this.#closed;
    };
    inspected.then(
      (found) => {
        const isCurrent = done();
        if (found === undefined && isCurrent) this.#unknown.add(id);
        if (found === undefined) return;
        if (isCurrent && canBeCached(found.container.main)) this.#store(id, found.container, found.pinned);
        else found.pinned.close();
      },
      (error: unknown) => {
        if (done() && error instanceof TooLargeError) this.#store(id, error);
      },
    );
    return answer;
  }

  #store(id: string, answer: Container | TooLargeError, pinned?: PinnedProcess): void {
    this.#drop(id);
    const stays = pinned !== undefined && this.#pinned < PINNED;
    if (stays) this.#pinned += 1;
    else pinned?.close();
    this.#cache.set(id, { answer, since: this.#options.clock.now(), pinned: stays ? pinned : undefined });
  }

  #dropAll(): void {
    for (const id of this.#cache.keys()) this.#drop(id);
  }

  #drop(id: string): void {
    const pinned = this.#cache.get(id)?.pinned;
    this.#cache.delete(id);
    if (pinned === undefined) return;
    pinned.close();
    this.#pinned -= 1;
  }

  /**
   * The main process of the running container with this name, id or beginning of an id; undefined if there is none.
   * @throws ERR_ATTESTATION_FAILED within {@link INSPECT_LIMIT_MS}
   */
  mainPid(nameOrId: string): Promise<number | undefined> {
    // It becomes part of the request's path.
    if (!/^[A-Za-z0-9][\w.-]*$/.test(nameOrId)) return Promise.resolve(undefined);
    return this.#inTime(async (signal) => {
      const answer = await this.#options.engine.get(`/containers/${nameOrId}/json`, signal);
      if (answer === undefined) return undefined;
      const id = String((answer as { Id?: unknown } | null)?.Id);
      if (LIKE_ID.test(nameOrId) && !id.startsWith(nameOrId)) {
        throw failed(
          `container ${id} has the name ${nameOrId}, which could be the beginning of another id: use the full id`,
        );
      }
      return readInspection(answer, id).pid;
    });
  }

  /**
   * Tests that the engine answers and that the kernel can pin processes.
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

  /** Changes need no check here: an event drops the answer, and so does the end of the event stream. */
  #isValid({ answer, since, pinned }: CachedAnswer): boolean {
    const age = this.#options.clock.now() - since;
    if (age < 0 || age >= CACHED_MS) return false;
    if (answer instanceof TooLargeError) return true;
    if (answer.image === undefined && this.#options.wantImage()) return false;
    // Check the process itself, because the engine's event may be late and children may outlive the main process.
    return pinned === undefined ? isAlive(answer.main) : !pinned.hasEnded();
  }

  async #inTurn(id: string, { owner = NO_CALLER, pid }: InspectionCaller): Promise<PinnedContainer | undefined> {
    // It becomes part of the request's path.
    if (!/^[0-9a-f]{64}$/.test(id)) throw failed('the id of the container is not 64 hexadecimal digits');
    return this.#inTime((signal) =>
      this.#slots.run(owner, async () => {
        // The time may have expired while it waited for a slot.
        signal.throwIfAborted();
        this.#inspections += 1;
        return this.#inspect(id, pid, signal);
      }),
    );
  }

  /** @param guess the pid of a process that may be the main one */
  async #inspect(id: string, guess: number | undefined, signal: AbortSignal): Promise<PinnedContainer | undefined> {
    let pinned = guess === undefined ? undefined : pinProcess(guess);
    let result: PinnedContainer | undefined;
    try {
      let inspection = await this.#read(id, signal);
      if (inspection === undefined) return undefined;
      if (pinned?.pid !== inspection.pid) {
        pinned?.close();
        pinned = undefined;
        pinned = pinProcess(inspection.pid);
        if (pinned === undefined) throw failed(unseenMessage(inspection));
        // The answer may have been outdated when the process was pinned, so ask again.
        const again = await this.#read(id, signal);
        if (again?.pid !== inspection.pid || again.startedAt !== inspection.startedAt) throw failed(endedMessage(id));
        inspection = again;
      }
      const { startTicks, place } = pinned;
      if (place.id !== undefined && place.id !== id) throw failed(unseenMessage(inspection));
      if (!isMainProcess(pinned, Date.parse(inspection.startedAt), instant())) await this.#checkPid(inspection, signal);
      const image = await this.#image(inspection, signal);
      if (pinned.hasEnded()) throw failed(endedMessage(id));
      // After the time limit no one would close the pinned process.
      signal.throwIfAborted();
      result = { container: { ...inspection, main: { pid: pinned.pid, startTicks, place }, image }, pinned };
      return result;
    } finally {
      if (result === undefined) pinned?.close();
    }
  }

  async #read(id: string, signal: AbortSignal): Promise<ContainerInspection | undefined> {
    const answer = await this.#options.engine.get(`/containers/${id}/json`, signal);
    return answer === undefined ? undefined : readInspection(answer, id);
  }

  /**
   * Asks the engine whether the main process is in the container's cgroup. Needed if its start does not match the
   * container's, or if it started recently in a cgroup that a user may have made. It doubles the cost of the
   * inspection, and needs `ps` where the engine runs.
   * @throws ERR_ATTESTATION_FAILED if the process is not in the container
   */
  async #checkPid({ id, pid }: ContainerInspection, signal: AbortSignal): Promise<void> {
    const problem = `process ${pid}, the main process of container ${id} according to the engine, did not start with the container, or started seconds ago in a cgroup that engines do not use by default`;
    const remedy =
      "the pid was reused, or Sidekey does not share the host's pid namespace (pid: host), or the clock was set: in that case restart the container";
    let pids: number[] = [];
    try {
      const answer = await this.#options.engine.get(`/containers/${id}/top?ps_args=-o%20pid`, signal);
      if (answer !== undefined) pids = readPids(answer);
    } catch (cause) {
      if (signal.aborted || !(cause instanceof SidekeyError)) throw cause;
      throw failed(`${problem}, and the engine does not list the container's processes (${cause.message}): ${remedy}`);
    }
    if (!pids.includes(pid)) throw failed(`${problem}, and the engine does not list it in the container: ${remedy}`);
  }

  async #image({ imageId }: ContainerInspection, signal: AbortSignal): Promise<Container['image']> {
    if (!this.#options.wantImage()) return undefined;
    const answer = await this.#options.engine.get(`/images/${imageId}/json`, signal);
    return answer === undefined ? { why: 'its image was deleted' } : readImage(answer);
  }

  async #inTime<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const late = Promise.withResolvers<never>();
    const deadline = this.#options.clock.after(INSPECT_LIMIT_MS, () => {
      const error = failed(`the container engine did not answer within ${INSPECT_LIMIT_MS} ms`);
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
      this.#pending.clear();
      this.#unknown.clear();
    } else {
      this.#drop(affected.id);
      this.#pending.delete(affected.id);
      this.#unknown.delete(affected.id);
    }
    this.#options.onChange?.();
  }
}

/** The message for a main process that Sidekey does not see in the container. */
export function unseenMessage({ id, pid }: Pick<ContainerInspection, 'id' | 'pid'>): string {
  return `Sidekey does not see process ${pid}, the main process according to the engine, in container ${id}: it has ended, or Sidekey does not share the host's pid namespace (pid: host)`;
}

function endedMessage(id: string): string {
  return `the main process of container ${id} ended during its inspection`;
}

function failed(message: string): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
