/**
 * The record of decisions: what callers were refused, or have to wait for. Each has an id, so that the text that a
 * client sees leads to the reason. Whoever decides only notes it; it is written later, some at a time, by one timer:
 * the last second before a SIGKILL is lost.
 */

import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock, Deadline } from '../base/clock.ts';
import type { Owner } from '../limits/owner.ts';
import type { DecisionRecord } from '../registry/decision.ts';
import type { DecisionPage, DecisionQuery, DecisionStore } from '../registry/store/decision-store.ts';
import type { Log } from '../telemetry/log.ts';

/** What is noted; the rest of the record is the book's. */
export type Noted = Omit<DecisionRecord, 'id' | 'at' | 'endedAt' | 'owner'>;

/** A hold that was noted, to be noted again or ended. */
export interface NotedHold {
  readonly id: string;
  readonly at: number;
  readonly reason: string;
}

export interface DecisionsParts {
  /** Undefined: nothing is kept, but everything has an id. */
  readonly store: DecisionStore | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** How many are kept, the newest. */
export const KEPT = 10_000;
/** How many of one owner are, so that an owner pushes only its own older ones out. */
export const KEPT_OF_OWNER = 2_000;
/** How many one owner may have put on record a second, once it has used up a burst of {@link KEPT_OF_OWNER}. */
export const PER_SECOND = 20;
/** The most characters of a caller's facts that a record keeps. */
const FACTS_CHARACTERS = 8_192;
/** How long they are kept, in milliseconds; a hold that goes on is kept for longer. */
export const KEPT_MS = 24 * 3_600_000;
/** How long a decision may wait to be written, in milliseconds. */
export const WRITE_AFTER_MS = 1_000;
/** In one transaction, about a millisecond; the event loop turns after each. */
const BATCH = 50;
/** After so many batches the old ones are deleted, and after the last. */
const PRUNE_EVERY = 10;

export class Decisions {
  readonly #parts: DecisionsParts;
  /** Not written yet. */
  readonly #put = new Map<string, DecisionRecord>();
  readonly #ended = new Map<string, number>();
  #timer: Deadline | undefined;
  #writing: Promise<void> | undefined;
  #failing = false;

  constructor(parts: DecisionsParts) {
    this.#parts = parts;
  }

  /** Opens the record that a former process has left: what it held is held no more. */
  static async open(parts: DecisionsParts & { readonly store: DecisionStore }): Promise<Decisions> {
    const { store, clock, log } = parts;
    const now = clock.now();
    try {
      await store.endAll(now);
      await store.prune(KEPT, now - KEPT_MS);
    } catch (err) {
      // A full disk is no reason not to serve.
      log.warn({ err }, 'old decisions can not be tidied up');
    }
    return new Decisions(parts);
  }

  /**
   * Notes a refusal or a fetch that found nothing; returns its id, undefined where the caller's owner has had as many put
   * on record as it may for now. `noted` is made only where it is kept.
   */
  note(owner: Owner, noted: () => Noted): string | undefined {
    const now = this.#parts.clock.now();
    if (!this.#mayNote(owner, now)) return undefined;
    const id = newDecisionId();
    this.#add({ ...bounded(noted()), owner: owner.name, id, at: now, endedAt: undefined });
    return id;
  }

  /**
   * Notes that a name is held; undefined as of {@link note}.
   * @param before the last record of the same name on the same stream, which an equal reason goes on with
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
    if (this.#put.size >= KEPT) return false;
    return accounts.every(({ decisions, share }) => decisions.take(KEPT_OF_OWNER * share, PER_SECOND * share, now));
  }

  /** The name is not held any more, or for another reason. */
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

  /** Writes what is left; to call when nothing is noted any more. */
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

  /** Writes what was noted so far; what fails is kept and tried again later. */
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
    // What is noted meanwhile is the next one's: in a flood of notes whoever asks would wait for its end.
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
      if (!this.#failing) log.warn({ err }, 'decisions can not be put on record; it is tried again');
      this.#failing = true;
      while (this.#ended.size > KEPT) this.#ended.delete(this.#ended.keys().next().value!);
      this.#writeLater();
    }
  }

  #prune(store: DecisionStore): Promise<void> {
    return store.prune(KEPT, this.#parts.clock.now() - KEPT_MS);
  }
}

/** Facts are the one part of a record that a caller could make large. */
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

/** One process's ids begin alike: a random number each would cost more than the rest of the note. */
const prefix = randomBytes(3).toString('hex');
let made = 0;

/** `d-` and 12 hex digits. */
function newDecisionId(): string {
  made += 1;
  return `d-${prefix}${(made % 2 ** 24).toString(16).padStart(6, '0')}`;
}
