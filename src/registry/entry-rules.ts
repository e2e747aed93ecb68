import type { TrustDomain } from '../spiffe/id.ts';

/** What the reading of entries depends on. */
export interface EntryRules {
  readonly trustDomain: TrustDomain;
  /** Takes entries that select by nothing but unix:path and unix:sha256. */
  readonly allowWeakSelectors: boolean;
}
