/** Where things are kept that have a name, one thing each. */

export interface NamedStore<T> {
  /** Everything, in no particular order. @throws ERR_STORE */
  load(): Promise<T[]>;
  /** Replaces what has the same name. Durable when the promise resolves. @throws ERR_STORE, and nothing has changed */
  put(value: T): Promise<void>;
  /** Durable when the promise resolves. @throws ERR_STORE, and nothing has changed */
  delete(name: string): Promise<void>;
}
