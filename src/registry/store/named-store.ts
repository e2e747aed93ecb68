/** Stores named objects, one per name. */

import type { AuditEvent } from '../../audit/index.ts';

export interface NamedStore<T> {
  /** All objects, in no particular order. @throws ERR_STORE */
  load(): Promise<Revisioned<T>[]>;
  /**
   * Durable when the promise resolves.
   *
   * @param replaces the expected revision of the replaced object; undefined: the name must be free
   * @param events rows for the audit, added in the same transaction
   * @returns the new revision
   * @throws ERR_REVISION with the present revision in `extra.revision_number` if that is another one; ERR_NOT_FOUND if
   * there is nothing to replace; ERR_STORE. After an error nothing has changed.
   */
  put(value: T, replaces: number | undefined, events?: readonly AuditEvent[]): Promise<number>;
  /** Durable when the promise resolves. @throws as `put`; then nothing has changed */
  delete(name: string, revision: number, events?: readonly AuditEvent[]): Promise<void>;
}

export interface Revisioned<T> {
  readonly value: T;
  /** Increases with each version of a name. Numbers are never reused, not even after a deletion. */
  readonly revision: number;
}
