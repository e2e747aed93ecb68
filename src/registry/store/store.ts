/**
 * Where the registry keeps things, one small interface for each concern. All are asynchronous, because a store may be a
 * database over a network; only the implementation knows that today's is a file (`../sqlite/`). Every implementation must
 * pass `test/registry/store-conformance.ts`.
 */

import type { AliasStore } from './alias-store.ts';
import type { BundleStore } from './bundle-store.ts';
import type { ChangeFeed } from './change-feed.ts';
import type { DecisionStore } from './decision-store.ts';
import type { EntryStore } from './entry-store.ts';
import type { IssuanceStore } from './issuance-store.ts';

export interface Store {
  readonly entries: EntryStore;
  readonly bundles: BundleStore;
  readonly aliases: AliasStore;
  readonly issuances: IssuanceStore;
  readonly decisions: DecisionStore;
  /** Of entries, bundles and aliases. */
  readonly changes: ChangeFeed;
  /** Closing again does nothing. After it every call throws ERR_STORE. */
  close(): Promise<void>;
}
