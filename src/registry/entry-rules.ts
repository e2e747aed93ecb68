import type { Problem } from '../base/errors.ts';
import type { TrustDomain } from '../spiffe/id.ts';

/** What the reading of entries depends on. */
export interface EntryRules {
  readonly trustDomain: TrustDomain;
  /** Takes entries that select by nothing but unix:path and unix:sha256. */
  readonly allowWeakSelectors: boolean;
  /** The types of selectors that attestors give here: `unix`. */
  readonly attestors: ReadonlySet<string>;
  /** Told of what is accepted but will hardly do what was meant. */
  readonly warn: (warning: Problem) => void;
}
