/** The reserved SDS names. @see https://github.com/spiffe/spire/blob/main/doc/spire_agent.md (SDS) */

export interface ReservedNames {
  /** The caller's default identity. */
  readonly default: string;
  /** The bundle of the server's own trust domain. */
  readonly bundle: string;
  /** The bundles of the server's trust domain and of those that the caller's entries federate with. */
  readonly allBundles: string;
}

/** SPIRE's names. */
export const SPIRE_NAMES: ReservedNames = { default: 'default', bundle: 'ROOTCA', allBundles: 'ALL' };
