/** The checked settings of `sidekey agent run`, in the units that the code uses. */

import type { HostConfig, HostPort } from './serve-config.ts';

export interface AgentConfig extends HostConfig {
  /** Servers of one trust domain; at least one. */
  readonly server: readonly HostPort[];
  /** Two at most of the next five are set: one or two files, or a token. */
  readonly joinToken: string | undefined;
  readonly joinTokenFile: string | undefined;
  /** With `x509popKey`. */
  readonly x509popCert: string | undefined;
  readonly x509popKey: string | undefined;
  /** By what the agent knows its server at first: one of the next three, or none if it has joined before. */
  readonly trustBundle: string | undefined;
  readonly trustBundleUrl: string | undefined;
  readonly insecureBootstrap: boolean;
  /** Of a SPIRE server, in seconds. */
  readonly syncInterval: number;
}
