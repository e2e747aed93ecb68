import type { TrustDomain } from '../spiffe/index.ts';

/** The settings that reading entries depends on. */
export interface EntryRules {
  readonly trustDomain: TrustDomain;
  /** Accepts entries that have only unix:path and unix:sha256 selectors. */
  readonly allowWeakSelectors: boolean;
  /** Agents of other hosts attach, so entries may have selectors of theirs. */
  readonly hasAgents?: boolean;
}
