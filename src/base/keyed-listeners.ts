type Listener = () => void;

const NOBODY: readonly Listener[] = [];

/** Listeners by key. Most keys have one listener, which is stored without a set to save memory. */
export class KeyedListeners<Key> {
  readonly #byKey = new Map<Key, Listener | Set<Listener>>();

  /** Adding a listener twice has no effect. Returns a function that removes it. */
  add(key: Key, listener: Listener): () => void {
    const there = this.#byKey.get(key);
    if (there instanceof Set) there.add(listener);
    else this.#byKey.set(key, there === undefined || there === listener ? listener : new Set([there, listener]));
    return () => this.#remove(key, listener);
  }

  /** The listeners of one key. */
  of(key: Key): Iterable<Listener> {
    const there = this.#byKey.get(key);
    if (there === undefined) return NOBODY;
    return there instanceof Set ? there : [there];
  }

  keys(): Iterable<Key> {
    return this.#byKey.keys();
  }

  has(key: Key): boolean {
    return this.#byKey.has(key);
  }

  clear(): void {
    this.#byKey.clear();
  }

  #remove(key: Key, listener: Listener): void {
    const there = this.#byKey.get(key);
    if (there instanceof Set) there.delete(listener);
    if (there === listener || (there instanceof Set && there.size === 0)) this.#byKey.delete(key);
  }
}
