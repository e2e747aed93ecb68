/** Where in an input a reader stands, and what it found wrong there: readers go on after a fault, to find them all. */

import { type Problem, SidekeyError } from '../base/errors.ts';

/** How many faults of one input are told: a body of nothing but faults must not make an answer a hundred times its size. */
const MOST_FAULTS = 100;

export class Place {
  /** Where it is, or what it is in. */
  readonly #base: string | Place;
  readonly #problems: Problem[];
  readonly #key: string | number | undefined;

  constructor(base: string | Place, problems: Problem[], key?: string | number) {
    this.#base = base;
    this.#problems = problems;
    this.#key = key;
  }

  /** A JSON pointer (RFC 6901): `/entries/3/selectors/0/value`. Made when it is asked for: hardly any place has a fault. */
  get path(): string {
    const base = typeof this.#base === 'string' ? this.#base : this.#base.path;
    return this.#key === undefined ? base : `${base}/${String(this.#key).replaceAll('~', '~0').replaceAll('/', '~1')}`;
  }

  /** A member or an element of what stands here. */
  at(key: string | number): Place {
    return new Place(this, this.#problems, key);
  }

  /**
   * Puts a fault on the list. It returns undefined, which is what a reader has to give for a value it can't take.
   * @throws ERR_BAD_INPUT with the list when it is full
   */
  fault(problem: string, rule: string): undefined {
    if (this.#problems.length === MOST_FAULTS) {
      const more = { path: '', problem: `there are more than ${MOST_FAULTS} faults`, rule: 'mend these first' };
      throw SidekeyError.badInput([...this.#problems, more]);
    }
    this.#problems.push({ path: this.path, problem, rule });
    return undefined;
  }
}

/** What a reader reads, unless it puts a fault on the list. @throws ERR_BAD_INPUT with every fault */
export function collect<T>(read: (problems: Problem[]) => T | undefined): T {
  const problems: Problem[] = [];
  const result = read(problems);
  if (problems.length > 0 || result === undefined) throw SidekeyError.badInput(problems);
  return result;
}

/** A value as a message may show it: on one line and short. */
export function show(value: unknown): string {
  if (value === undefined) return 'missing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${[...text].slice(0, 77).join('')}…`;
}

/** The members of an object; undefined, and a fault, for anything else. */
export function readObject(value: unknown, place: Place, rule: string): Record<string, unknown> | undefined {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return place.fault(`it is ${show(value)}`, rule);
}

/** A text that UTF-8 can hold, and so the database; undefined, and a fault, for anything else. */
export function readText(value: unknown, place: Place, rule: string): string | undefined {
  if (typeof value !== 'string') return place.fault(`it is ${show(value)}, not a text`, rule);
  if (!value.isWellFormed() || value.includes('\0')) return place.fault('it has a character that is none', rule);
  return value;
}

/** A list with each element read, as far as they can be; undefined, and a fault, for anything else. */
export function readList<T>(
  value: unknown,
  place: Place,
  rule: string,
  read: (element: unknown, place: Place) => T | undefined,
): T[] | undefined {
  if (!Array.isArray(value)) return place.fault(`it is ${show(value)}, not a list`, rule);
  const elements: T[] = [];
  for (const [index, element] of value.entries()) {
    const one = read(element, place.at(index));
    if (one !== undefined) elements.push(one);
  }
  return elements;
}

/** Like {@link readList}, where no two elements may be the same. */
export function readSet<T extends string>(
  value: unknown,
  place: Place,
  rule: string,
  read: (element: unknown, place: Place) => T | undefined,
): T[] | undefined {
  const seen = new Set<T>();
  return readList(value, place, rule, (element, at) => {
    const one = read(element, at);
    if (one === undefined || !seen.has(one)) {
      if (one !== undefined) seen.add(one);
      return one;
    }
    return at.fault(`${show(one)} is in the list already`, 'no two are the same');
  });
}
