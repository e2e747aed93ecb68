/**
 * What changed in the store, in the order of the commits: how a server learns what another one on the same database wrote.
 * To follow it: take the cursor, load everything, then ask for the changes since. What changed between the first two steps
 * is told again, which does no harm, because a change tells the present value.
 */

import type { Alias } from '../alias.ts';
import type { Entry } from '../entry-fields.ts';
import type { FederatedBundle } from '../federated-bundle.ts';
import type { Versioned } from './named-store.ts';

export interface ChangeFeed {
  /** The cursor after the newest change. @throws ERR_STORE */
  cursor(): Promise<ChangeCursor>;
  /**
   * The oldest changes after the cursor, at most `limit` of them (1 or more).
   *
   * @returns `reload` when the changes are not kept any more, or the cursor is not one of this store: everything must be
   *   loaded anew, and followed from a new cursor
   * @throws ERR_STORE
   */
  changesSince(cursor: ChangeCursor, limit: number): Promise<ChangePage | 'reload'>;
}

/** A place in the feed. Opaque: only the store that gave it can read it. */
export type ChangeCursor = string;

export interface ChangePage {
  /** In the order of their commits. What changed several times stands in the place of its last change on this page. */
  readonly changes: readonly Change[];
  /** The cursor for the next call. */
  readonly cursor: ChangeCursor;
  /** There are changes after these already. */
  readonly more: boolean;
}

/**
 * `name` is the entry's id, the bundle's trust domain or the alias's host. `now` is the value when the page was read, which
 * may be newer than the change; undefined: it was deleted.
 */
export type Change =
  | { readonly of: 'entry'; readonly name: string; readonly now: Entry | undefined }
  | { readonly of: 'bundle'; readonly name: string; readonly now: Versioned<FederatedBundle> | undefined }
  | { readonly of: 'alias'; readonly name: string; readonly now: Versioned<Alias> | undefined };
