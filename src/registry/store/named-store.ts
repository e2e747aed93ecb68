/** Where things are kept that have a name, one thing each. */

export interface NamedStore<T> {
  /** Everything, in no particular order. @throws ERR_STORE */
  load(): Promise<Versioned<T>[]>;
  /**
   * Durable when the promise resolves.
   *
   * @param replaces the revision that it replaces; undefined: nothing may have its name yet
   * @returns the new revision
   * @throws ERR_REVISION with the present revision in `extra.revision_number` when that is another one; ERR_NOT_FOUND
   *   when there is nothing to replace; ERR_STORE. Then nothing has changed.
   */
  put(value: T, replaces: number | undefined): Promise<number>;
  /** Durable when the promise resolves. @throws as `put` does; then nothing has changed */
  delete(name: string, revision: number): Promise<void>;
}

export interface Versioned<T> {
  readonly value: T;
  /** No other version of what has this name ever has the same number, not even after a deletion; later ones have greater ones. */
  readonly revision: number;
}
