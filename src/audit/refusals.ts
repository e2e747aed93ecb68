/**
 * Groups refusals per caller and minute, since a caller can cause any number of them. A SIGKILL loses those of the last
 * minute.
 */

import type { Clock, Deadline } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';
import { type Actor, actorName, SERVER } from './actor.ts';
import type { AuditEvent } from './event.ts';

export interface RefusalsParts {
  readonly append: (events: readonly AuditEvent[]) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Refusal {
  readonly action: 'admin.refused' | 'caller.refused' | 'agent.refused';
  readonly by: Actor;
  /** A stable code, such as `ERR_UNAUTHORIZED`. */
  readonly code: string;
  /** What was refused, of a bounded number of texts: a method and the pattern of a path. */
  readonly what?: string;
  /** More of the first refusal of a group, such as the id of its decision. */
  readonly first?: object;
}

interface Group {
  readonly refusal: Refusal;
  readonly firstAt: number;
  lastAt: number;
  count: number;
}

/** The interval of the rows, in milliseconds. */
export const GROUPED_MS = 60_000;
/** Maximum number of groups of an action per interval, and of one caller; the others are counted in one row. */
export const MAX_GROUPS = 20;
export const MAX_GROUPS_OF_CALLER = 4;

export class Refusals {
  readonly #parts: RefusalsParts;
  #groups = new Map<string, Group>();
  /** The number of groups by action, and by action and caller. */
  #used = new Map<string, number>();
  #timer: Deadline | undefined;
  #failing = false;

  constructor(parts: RefusalsParts) {
    this.#parts = parts;
  }

  /** Counts a refusal. Its row follows within a minute. */
  note(refusal: Refusal): void {
    const now = this.#parts.clock.now();
    const { action, by, code, what = '' } = refusal;
    const caller = `${action} ${actorName(by)}`;
    const key = `${caller} ${code} ${what}`;
    const known = this.#groups.get(key);
    const isFull = this.#usedBy(action) >= MAX_GROUPS || this.#usedBy(caller) >= MAX_GROUPS_OF_CALLER;
    if (known === undefined && isFull) this.#count(action, { action, by: SERVER, code: 'others' }, now);
    else {
      if (known === undefined) for (const one of [action, caller]) this.#used.set(one, this.#usedBy(one) + 1);
      this.#count(key, refusal, now);
    }
  }

  /** Writes the rest. */
  async close(): Promise<void> {
    this.#cancel();
    await this.#write();
    this.#cancel();
  }

  #cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #usedBy(name: string): number {
    return this.#used.get(name) ?? 0;
  }

  #count(key: string, refusal: Refusal, now: number): void {
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, { refusal, firstAt: now, lastAt: now, count: 1 });
    else {
      group.count += 1;
      group.lastAt = now;
    }
    this.#writeLater();
  }

  #writeLater(): void {
    this.#timer ??= this.#parts.clock.after(GROUPED_MS, () => {
      this.#timer = undefined;
      void this.#write();
    });
  }

  async #write(): Promise<void> {
    if (this.#groups.size === 0) return;
    const groups = this.#groups;
    const used = this.#used;
    this.#groups = new Map();
    this.#used = new Map();
    try {
      await this.#parts.append([...groups.values()].map(eventOf));
      this.#failing = false;
    } catch (err) {
      if (!this.#failing) this.#parts.log.error({ err }, 'refusals could not be recorded in the audit; will retry');
      this.#failing = true;
      // Later groups of the same keys are joined to these, so that a full disk does not make them many.
      const later = this.#groups;
      this.#groups = groups;
      this.#used = used;
      for (const [key, { refusal, lastAt, count }] of later) {
        const group = groups.get(key) ?? groups.get(refusal.action);
        if (group === undefined) groups.set(refusal.action, { refusal, firstAt: lastAt, lastAt, count });
        else {
          group.count += count;
          group.lastAt = lastAt;
        }
      }
      this.#writeLater();
    }
  }
}

function eventOf({ refusal, firstAt, lastAt, count }: Group): AuditEvent {
  const { action, by, code, what, first } = refusal;
  const times = { first_at: new Date(firstAt).toISOString(), last_at: new Date(lastAt).toISOString() };
  return { at: lastAt, action, by, target: what, detail: { code, count, ...times, ...first } };
}
