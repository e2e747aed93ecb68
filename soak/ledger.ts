/**
 * What must be there after a crash: every write that was answered, and of a write that was under way all or nothing.
 * One write at a time may be under way for an id.
 */

/** The value of each id that a write touches, before and after it; undefined: it is not there. */
export type Write = ReadonlyMap<string, { readonly before: string | undefined; readonly after: string | undefined }>;

export class Ledger {
  readonly #settled = new Map<string, string>();
  readonly #underWay = new Set<Write>();
  readonly #busy = new Set<string>();
  /** Writes that were answered. */
  answered = 0;
  /** Writes that were under way at a crash, by what became of them. */
  readonly unanswered = { done: 0, notDone: 0 };

  /** The ids that are there and that no write under way touches. */
  free(): string[] {
    return [...this.#settled.keys()].filter((id) => !this.#busy.has(id));
  }

  get size(): number {
    return this.#settled.size;
  }

  /** Notes a write that is about to be sent; undefined as a value deletes. */
  begin(values: Readonly<Record<string, string | undefined>>): Write {
    const write: Write = new Map(
      Object.entries(values).map(([id, after]) => [id, { before: this.#settled.get(id), after }]),
    );
    this.#underWay.add(write);
    for (const id of write.keys()) this.#busy.add(id);
    return write;
  }

  /** The write was answered: it counts from now on. */
  acknowledge(write: Write): void {
    this.answered += 1;
    this.#settle(write, 'after');
  }

  /** Compares what a server that came back has with what must be there; returns what is wrong. */
  compare(found: ReadonlyMap<string, string>): string[] {
    const faults: string[] = [];
    for (const write of [...this.#underWay]) {
      const ids = [...write.keys()];
      const is = (which: 'before' | 'after') => ids.every((id) => found.get(id) === write.get(id)![which]);
      const done = is('after');
      if (!done && !is('before')) faults.push(`a write is half there: ${ids.join(', ')}`);
      this.unanswered[done ? 'done' : 'notDone'] += 1;
      this.#settle(write, done ? 'after' : 'before');
    }
    for (const [id, value] of this.#settled) {
      const there = found.get(id);
      if (there !== value) faults.push(`${id} was acknowledged as ${value} and is ${there ?? 'not there'}`);
    }
    for (const id of found.keys())
      if (!this.#settled.has(id)) faults.push(`${id} is there and was deleted, or never made`);
    return faults;
  }

  #settle(write: Write, which: 'before' | 'after'): void {
    this.#underWay.delete(write);
    for (const [id, values] of write) {
      this.#busy.delete(id);
      const value = values[which];
      if (value === undefined) this.#settled.delete(id);
      else this.#settled.set(id, value);
    }
  }
}
