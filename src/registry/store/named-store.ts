/** Stores named objects, one per name. */

export interface NamedStore<T> {
  /** All objects, in no particular order. @throws ERR_STORE */
  load(): Promise<Revisioned<T>[]>;
  /**
   * Durable when the promise resolves.
   *
   * @param replaces the expected revision of the replaced object; undefined: the name must be free
   * @returns the new revision
   * @throws ERR_REVISION with the present revision in `extra.revision_number` if that is another one; ERR_NOT_FOUND if
   * there is nothing to replace; ERR_STORE. After an error nothing has changed.
   */
  put(value: T, replaces: number | undefined): Promise<number>;
  /** Durable when the promise resolves. @throws as `put`; then nothing has changed */
  delete(name: string, revision: number): Promise<void>;
}

export interface Revisioned<T> {
  readonly value: T;
  /** Increases with each version of a name. Numbers are never reused, not even after a deletion. */
  readonly revision: number;
}
