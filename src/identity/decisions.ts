/**
 * The record of decisions: which requests were refused or held, and why. Each record has an id, which the client's
 * error text contains. Recording is asynchronous: one timer writes in batches, so a SIGKILL loses the last second.
 */

import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { Refusal } from '../audit/index.ts';
import type { Clock, Deadline } from '../base/index.ts';
import type { Owner } from '../limits/index.ts';
import type { DecisionPage, DecisionQuery, DecisionRecord, DecisionStore } from '../registry/index.ts';
import type { Counters, Log } from '../telemetry/index.ts';

/** The part of a record that the caller of {@link Decisions.note} supplies; {@link Decisions} adds the rest. */
export type Noted = Omit<DecisionRecord, 'id' | 'at' | 'endedAt' | 'owner'>;

/** A recorded hold, which can be continued or ended. */
export interface NotedHold {
  readonly id: string;
  readonly at: number;
  readonly reason: string;
}

export interface DecisionsParts {
  /** Undefined: decisions get ids, but are not stored. */
  readonly store: DecisionStore | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Counts a refused caller for the audit. */
  readonly onRefused?: (refusal: Refusal) => void;
  /** Counts the decisions that a limit left out. */
  readonly counters?: Counters;
}

/** Maximum number of stored records; the oldest go first. */
export const KEPT = 10_000;
/** The same per owner, so that an owner can displace only its own records. */
export const KEPT_OF_OWNER = 2_000;
/** Records per second and owner, once the owner has used a burst of {@link KEPT_OF_OWNER}. */
export const PER_SECOND = 20;
/** Maximum length of the facts in a record, in characters. */
const FACTS_CHARACTERS = 8_192;
/** How long records are kept, in milliseconds; those of open holds are kept longer. */
export const KEPT_MS = 24 * 3_600_000;
/** Maximum delay of a write, in milliseconds. */
export const WRITE_AFTER_MS = 1_000;
/** Records per transaction. One takes about a millisecond, and the event loop runs between two of them. */
const BATCH = 50;
/** Old records are deleted after this number of batches, and after the last batch. */
const PRUNE_EVERY = 10;

export class Decisions {
  readonly #parts: DecisionsParts;
  /** Records that are not written yet. */
  readonly #put = new Map<string, DecisionRecord>();
  readonly #ended = new Map<string, number>();
  #timer: Deadline | undefined;
  #writing: Promise<void> | undefined;
  #failing = false;

  constructor(parts: DecisionsParts) {
    this.#parts = parts;
  }

  /** Opens the stored record and ends the holds of the former process in it. */
  static async open(parts: DecisionsParts & { readonly store: DecisionStore }): Promise<Decisions> {
    const { store, clock, log } = parts;
    const now = clock.now();
    try {
      await store.endAll(now);
      await store.prune(KEPT, now - KEPT_MS);
    } catch (err) {
      // The server can serve without it, as on a full disk.
      log.warn({ err }, 'old decisions could not be deleted');
    }
    return new Decisions(parts);
  }

  /**
   * Records a refusal, or a fetch without a result. Calls `noted` only if it records.
   * @returns its id; undefined if the owner has reached its rate limit
   */
  note(owner: Owner, noted: () => Noted): string | undefined {
    const now = this.#parts.clock.now();
    if (!this.#mayNote(owner, now)) return undefined;
    const id = newDecisionId();
    this.#add({ ...bounded(noted()), owner: owner.name, id, at: now, endedAt: undefined });
    return id;
  }

  /**
   * Records that a caller was refused, whatever the rate limit says in the audit's count.
   * @param code the error's code
   * @returns as {@link note} does
   */
  refuse(owner: Owner, code: string, { pid, uid }: Pick<Noted, 'pid' | 'uid'>, noted: () => Noted): string | undefined {
    const decision = this.note(owner, noted);
    const first = decision === undefined ? {} : { decision };
    this.#parts.onRefused?.({
      action: 'caller.refused',
      by: { kind: 'caller', owner: owner.name, uid, pid },
      code,
      first,
    });
    return decision;
  }

  /**
   * Records that a name is held.
   * @param before the last record of this name on this stream; it is continued if the reason is the same
   * @returns undefined as {@link note} does
   */
  hold(owner: Owner, reason: string, noted: () => Noted, before: NotedHold | undefined): NotedHold | undefined {
    const now = this.#parts.clock.now();
    if (!this.#mayNote(owner, now)) return undefined;
    const hold = before?.reason === reason ? before : { id: newDecisionId(), at: now, reason };
    this.#ended.delete(hold.id);
    this.#add({ ...bounded(noted()), owner: owner.name, id: hold.id, at: hold.at, endedAt: undefined });
    return hold;
  }

  #mayNote({ accounts }: Owner, now: number): boolean {
    const isAllowed =
      this.#put.size < KEPT &&
      accounts.every(({ decisions, share }) => decisions.take(KEPT_OF_OWNER * share, PER_SECOND * share, now));
    if (!isAllowed) this.#parts.counters?.limits.add('decisions');
    return isAllowed;
  }

  /** Ends a hold: the name is not held any more, or for another reason. */
  end({ id }: NotedHold): void {
    const now = this.#parts.clock.now();
    const record = this.#put.get(id);
    if (record !== undefined) this.#put.set(id, { ...record, endedAt: now });
    else this.#ended.set(id, now);
    this.#writeLater();
  }

  /** @throws ERR_STORE */
  async get(id: string): Promise<DecisionRecord | undefined> {
    await this.#write();
    return this.#put.get(id) ?? (await this.#parts.store?.get(id));
  }

  /** @throws ERR_STORE */
  async list(query: DecisionQuery): Promise<DecisionPage> {
    await this.#write();
    return (await this.#parts.store?.list(query)) ?? { decisions: [], nextCursor: undefined };
  }

  /** Writes the rest. Call it when nothing records any more. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#write();
    this.#timer?.cancel();
  }

  #add(record: DecisionRecord): void {
    this.#put.set(record.id, record);
    this.#writeLater();
  }

  #writeLater(): void {
    if (this.#parts.store === undefined) {
      this.#put.clear();
      this.#ended.clear();
      return;
    }
    this.#timer ??= this.#parts.clock.after(WRITE_AFTER_MS, () => {
      this.#timer = undefined;
      void this.#write();
    });
  }

  /** Writes what was recorded so far. After a failure it keeps the records for a retry. */
  async #write(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    const { store, log } = this.#parts;
    if (store === undefined) return;
    // Records that arrive meanwhile belong to the next write; otherwise close() and queries would not return under a
    // flood.
    const most = Math.ceil(Math.max(this.#put.size, this.#ended.size) / BATCH);
    let batches = 0;
    const owners = new Set<string>();
    try {
      while (batches < most) {
        const put = firstOf(this.#put, BATCH);
        const ended = firstOf(this.#ended, BATCH);
        await store.write({ put: put.map(([, one]) => one), ended: ended.map(([id, at]) => ({ id, at })) });
        for (const [id, record] of put) {
          owners.add(record.owner);
          if (this.#put.get(id) === record) this.#put.delete(id);
        }
        for (const [id, at] of ended) if (this.#ended.get(id) === at) this.#ended.delete(id);
        batches += 1;
        if (batches % PRUNE_EVERY === 0) await this.#prune(store);
        await turn();
      }
      for (const owner of owners) await store.pruneOwner(owner, KEPT_OF_OWNER);
      if (batches > 0) await this.#prune(store);
      if (this.#put.size > 0 || this.#ended.size > 0) this.#writeLater();
      this.#failing = false;
    } catch (err) {
      if (!this.#failing) log.warn({ err }, 'decisions could not be recorded; will retry');
      this.#failing = true;
      while (this.#ended.size > KEPT) this.#ended.delete(this.#ended.keys().next().value!);
      this.#writeLater();
    }
  }

  #prune(store: DecisionStore): Promise<void> {
    return store.prune(KEPT, this.#parts.clock.now() - KEPT_MS);
  }
}

/** Limits the facts, the only part of a record that a caller can make large. */
function bounded(noted: Noted): Noted {
  let room = FACTS_CHARACTERS;
  const first = noted.facts.findIndex((fact) => {
    room -= fact.length;
    return room < 0;
  });
  if (first === -1) return noted;
  const detail = `${noted.detail} (of ${noted.facts.length} facts, ${first} are on record)`;
  return { ...noted, facts: noted.facts.slice(0, first), detail };
}

function firstOf<V>(map: ReadonlyMap<string, V>, count: number): [string, V][] {
  const first: [string, V][] = [];
  for (const one of map) {
    if (first.length === count) break;
    first.push(one);
  }
  return first;
}

/** Random per process, not per id: a random number per id would cost more than the rest of the record. */
const prefix = randomBytes(3).toString('hex');
let made = 0;

/** `d-` and 12 hex digits. */
function newDecisionId(): string {
  made += 1;
  return `d-${prefix}${(made % 2 ** 24).toString(16).padStart(6, '0')}`;
}
