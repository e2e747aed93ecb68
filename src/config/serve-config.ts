/** What `sidekey serve` is told, checked and in the units that the code uses. */

import type { AttestorSettings } from '../attest/catalog.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { LogLevel } from '../telemetry/levels.ts';

/** Paths are absolute. */
export interface ServeConfig extends AttestorSettings {
  /** The YAML file that the rest was read from as well. */
  readonly config: string | undefined;
  readonly trustDomain: TrustDomain;
  readonly dataDir: string;
  /** The pipe. */
  readonly socket: string;
  readonly adminSocket: string;
  /** Permission bits of the pipe: 0o660. */
  readonly socketMode: number;
  /** Name or gid; undefined: the process's own. */
  readonly socketGroup: string | undefined;
  readonly adminListen: HostPort | undefined;
  /** Undefined: `admin.token` in the data directory. */
  readonly adminTokenFile: string | undefined;
  /** As in a Host header, without ports. */
  readonly adminHost: readonly string[];
  readonly adminInsecureListen: boolean;
  /** On each listener. */
  readonly adminMaxConnections: number;
  readonly entries: string | undefined;
  /** Callers in containers are treated as those outside. */
  readonly allowContained: boolean;
  /** Whether to serve where the kernel can't say which process connected. */
  readonly allowUnpinnedPeers: boolean;
  readonly allowWeakSelectors: boolean;
  /** The half of the data directory that is missing is made anew. */
  readonly newRoot: boolean;
  readonly bundleFor: BundleFor;
  readonly disableSpiffeCertValidation: boolean;
  /** Seconds. */
  readonly x509SvidTtl: number;
  /** Seconds. */
  readonly caTtl: number;
  /** As `C=CN,O=SPIFFE`, checked. */
  readonly caSubject: string;
  readonly maxConnectionsPerUid: number;
  readonly maxStreamsPerUid: number;
  readonly maxRequestsPerSecondPerUid: number;
  readonly logLevel: LogLevel;
}

/** Who gets bundles: callers that an entry matches, or everybody on the pipe. */
export type BundleFor = 'identified' | 'anyone';

export interface HostPort {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}
