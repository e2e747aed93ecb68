/** A position in user input, with the list of faults. Readers continue after a fault, to find all of them. */

import { type Problem, SidekeyError } from '../base/index.ts';

/** Maximum number of faults per input, so that an answer is not many times larger than its request. */
const MOST_FAULTS = 100;

/** Maximum length of a name in a path, in characters: it is the sender's choice, and the path is logged. */
const MOST_CHARACTERS = 100;

export class Place {
  /** The root path, or the enclosing place. */
  readonly #base: string | Place;
  readonly #problems: Problem[];
  readonly #key: string | number | undefined;

  constructor(base: string | Place, problems: Problem[], key?: string | number) {
    this.#base = base;
    this.#problems = problems;
    this.#key = key;
  }

  /**
   * A JSON pointer (RFC 6901): `/entries/3/selectors/0/value`; long names are cut. Built on demand, since few places
   * have faults.
   */
  get path(): string {
    const base = typeof this.#base === 'string' ? this.#base : this.#base.path;
    if (this.#key === undefined) return base;
    const key = String(this.#key);
    const shown = key.length > MOST_CHARACTERS ? `${key.slice(0, MOST_CHARACTERS)}…` : key;
    return `${base}/${shown.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  }

  /** A member or element of the value at this place. */
  at(key: string | number): Place {
    return new Place(this, this.#problems, key);
  }

  /**
   * Records a fault.
   * @returns undefined, so that readers can return the result for an invalid value
   * @throws ERR_BAD_INPUT with the list when it is full
   */
  fault(problem: string, rule: string): undefined {
    if (this.#problems.length === MOST_FAULTS) {
      const more = { path: '', problem: `there are more than ${MOST_FAULTS} faults`, rule: 'correct these first' };
      throw SidekeyError.badInput([...this.#problems, more]);
    }
    this.#problems.push({ path: this.path, problem, rule });
    return undefined;
  }
}

/** The reader's result, if it records no fault. @throws ERR_BAD_INPUT with all faults */
export function collect<T>(read: (problems: Problem[]) => T | undefined): T {
  const problems: Problem[] = [];
  const result = read(problems);
  if (problems.length > 0 || result === undefined) throw SidekeyError.badInput(problems);
  return result;
}

/** A value for messages: short and on one line. */
export function show(value: unknown): string {
  if (value === undefined) return 'missing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${[...text].slice(0, 77).join('')}…`;
}

/** The members of an object; else undefined and a fault. */
export function readObject(value: unknown, place: Place, rule: string): Record<string, unknown> | undefined {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return place.fault(`it is ${show(value)}`, rule);
}

/** A text that UTF-8, and so the database, can represent; else undefined and a fault. */
export function readText(value: unknown, place: Place, rule: string): string | undefined {
  if (typeof value !== 'string') return place.fault(`it is ${show(value)}, not a text`, rule);
  if (!value.isWellFormed() || value.includes('\0'))
    return place.fault('it has a NUL character or an unpaired surrogate', rule);
  return value;
}

/** The elements of a list, each read by `read`; else undefined and a fault. Invalid elements are left out. */
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

/** Like {@link readList}, but duplicates are faults. */
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
