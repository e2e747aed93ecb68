/**
 * A map that remembers what was looked for last: most streams ask for one name, of which a change asks several times over,
 * and ten thousand tables are too many for the processor's cache. It is made empty: `Map` fills itself before a class that
 * extends it has its fields.
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
