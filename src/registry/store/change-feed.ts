/**
 * The feed of changes, in the order of commits. With it a server learns what another server wrote to the same database:
 * get the cursor, load everything, then request the changes since. Changes committed between the first two steps are
 * repeated; this is harmless, because a change has the present value.
 */

import type { Revocation } from '../../base/index.ts';
import type { Agent, JoinToken } from '../agent.ts';
import type { Alias } from '../alias.ts';
import type { Entry } from '../entry-fields.ts';
import type { FederatedBundle } from '../federated-bundle.ts';
import type { Relationship } from '../relationship.ts';
import type { Token } from '../token.ts';
import type { Revisioned } from './named-store.ts';

export interface ChangeFeed {
  /** The cursor after the newest change. @throws ERR_STORE */
  cursor(): Promise<ChangeCursor>;
  /**
   * The oldest changes after the cursor, at most `limit` (1 or more).
   *
   * @returns `reload` if the changes are not kept any more or the cursor is not from this store: get a new cursor and
   * load everything
   * @throws ERR_STORE
   */
  changesSince(cursor: ChangeCursor, limit: number): Promise<ChangePage | 'reload'>;
}

/** A position in the feed. Opaque: only the store that returned it can read it. */
export type ChangeCursor = string;

export interface ChangePage {
  /** In the order of commits. An object that changed several times appears once, at its last change on this page. */
  readonly changes: readonly StoreChange[];
  /** The cursor for the next call. */
  readonly cursor: ChangeCursor;
  /** There are more changes after these. */
  readonly more: boolean;
}

/**
 * `name` is the entry's id, the bundle's trust domain, the alias's host, the token's name, the relationship's trust
 * domain, the agent's SPIFFE ID, the join token's hash or the serial number of a revoked certificate. `now` is the value
 * when the page was read, which may be newer than the change; undefined: it was deleted.
 */
export type StoreChange =
  | { readonly of: 'entry'; readonly name: string; readonly now: Entry | undefined }
  | { readonly of: 'bundle'; readonly name: string; readonly now: Revisioned<FederatedBundle> | undefined }
  | { readonly of: 'alias'; readonly name: string; readonly now: Revisioned<Alias> | undefined }
  | { readonly of: 'token'; readonly name: string; readonly now: Revisioned<Token> | undefined }
  | { readonly of: 'relationship'; readonly name: string; readonly now: Revisioned<Relationship> | undefined }
  | { readonly of: 'agent'; readonly name: string; readonly now: Revisioned<Agent> | undefined }
  | { readonly of: 'join token'; readonly name: string; readonly now: Revisioned<JoinToken> | undefined }
  | { readonly of: 'revocation'; readonly name: string; readonly now: Revocation | undefined };
