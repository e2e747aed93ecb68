/** Numbers by key. The keys are fixed from the start, which bounds the labels of metrics. */
export class Tally<Key extends string = string> {
  readonly #numbers: Record<Key, number>;

  constructor(keys: readonly Key[]) {
    this.#numbers = Object.fromEntries(keys.map((key) => [key, 0])) as Record<Key, number>;
  }

  /** @param by may be negative, for numbers that fall again */
  add(key: Key, by = 1): void {
    this.#numbers[key] += by;
  }

  get(key: Key): number {
    return this.#numbers[key];
  }

  /** In the order of the keys. */
  entries(): [Key, number][] {
    return Object.entries(this.#numbers) as [Key, number][];
  }
}
