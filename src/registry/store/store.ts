/**
 * The persistent store of the registry, one small interface per concern. All are asynchronous, since a store may be a
 * remote database; today's is a file (`../sqlite/`). Every implementation must pass
 * `test/registry/store-conformance.ts`.
 */

import type { JoinToken } from '../agent.ts';
import type { AgentStore } from './agent-store.ts';
import type { AliasStore } from './alias-store.ts';
import type { AuditStore } from './audit-store.ts';
import type { BundleStore } from './bundle-store.ts';
import type { ChangeFeed } from './change-feed.ts';
import type { DecisionStore } from './decision-store.ts';
import type { EntryStore } from './entry-store.ts';
import type { IssuanceStore } from './issuance-store.ts';
import type { NamedStore } from './named-store.ts';
import type { RelationshipStore } from './relationship-store.ts';
import type { RevocationStore } from './revocation-store.ts';
import type { TokenStore } from './token-store.ts';

export interface Store {
  readonly entries: EntryStore;
  readonly bundles: BundleStore;
  readonly aliases: AliasStore;
  readonly tokens: TokenStore;
  readonly relationships: RelationshipStore;
  readonly agents: AgentStore;
  readonly joinTokens: NamedStore<JoinToken>;
  readonly revocations: RevocationStore;
  readonly issuances: IssuanceStore;
  readonly decisions: DecisionStore;
  readonly audit: AuditStore;
  /** Changes of all but issuances, decisions and the audit. */
  readonly changes: ChangeFeed;
  /**
   * Copies everything to a new file, mode 0600, while the store is used.
   * @param onFixed called synchronously at the moment whose state the copy has
   * @throws ERR_STORE; the reason of the signal; the error of `onFixed`. Then there is no file
   */
  snapshot(to: string, onFixed: () => void, signal: AbortSignal): Promise<void>;
  /** Later calls of other methods throw ERR_STORE. A second close does nothing. */
  close(): Promise<void>;
}
