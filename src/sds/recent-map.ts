/**
 * A map that caches the last lookup. Most streams request one name, which each change looks up several times, and the
 * tables of ten thousand streams exceed the processor's cache. The constructor takes no entries: `Map`'s would call
 * `set` before this class's fields exist.
 */
export class RecentMap<Key, Value extends object> extends Map<Key, Value> {
  #key: Key | undefined;
  #value: Value | undefined;

  override get(key: Key): Value | undefined {
    if (this.#value === undefined || this.#key !== key) {
      this.#key = key;
      this.#value = super.get(key);
    }
    return this.#value;
  }

  override set(key: Key, value: Value): this {
    this.#value = undefined;
    return super.set(key, value);
  }

  override delete(key: Key): boolean {
    this.#value = undefined;
    return super.delete(key);
  }

  override clear(): void {
    this.#value = undefined;
    super.clear();
  }
}
