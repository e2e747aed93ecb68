/** The settings of the upstream authority, as `sidekey serve` has them. Paths are absolute. */

import type { UpstreamKind } from './upstream.ts';

/** `self`: Sidekey keeps a root of its own. */
export type UpstreamChoice = 'self' | UpstreamKind;

export interface UpstreamSettings {
  readonly upstream: UpstreamChoice;
  /** With `self`: the key of the root is elsewhere. */
  readonly offlineRoot: boolean;
  /** How long a request to it may take, in seconds. */
  readonly upstreamTimeout: number;
  /** Roots of the trust domain; undefined: as the upstream gives them. */
  readonly upstreamBundleFile: string | undefined;
  readonly upstreamCertFile: string | undefined;
  readonly upstreamKeyFile: string | undefined;
  /** A program and its arguments; empty if there is none. */
  readonly upstreamCommand: readonly string[];
  /** `https://vault.example.org:8200`. */
  readonly vaultAddr: string | undefined;
  /** Where the PKI engine is. */
  readonly vaultMount: string | undefined;
  readonly vaultNamespace: string | undefined;
  readonly vaultCaFile: string | undefined;
  readonly vaultTokenFile: string | undefined;
  readonly vaultApproleRoleIdFile: string | undefined;
  readonly vaultApproleSecretIdFile: string | undefined;
  /** Where the AppRole method is. */
  readonly vaultApproleMount: string | undefined;
}
