/** The checked settings of `sidekey serve`, in the units that the code uses. */

import type { AttestorSettings } from '../attest/index.ts';
import type { UpstreamSettings } from '../ca/index.ts';
import type { AuthorityKeyType, SpiffeId, SvidKeyType, TrustDomain } from '../spiffe/index.ts';
import type { LogFormat, LogLevel } from '../telemetry/index.ts';

/** What runs on every host with callers: where a server is, and where an agent is. Paths are absolute. */
export interface HostConfig extends AttestorSettings {
  /** The YAML file of settings. */
  readonly config: string | undefined;
  readonly trustDomain: TrustDomain;
  readonly dataDir: string;
  /** The pipe. */
  readonly socket: string;
  readonly adminSocket: string;
  /** Permission bits of the pipe: 0o660. */
  readonly socketMode: number;
  /** Name or gid; undefined: the group of the process. */
  readonly socketGroup: string | undefined;
  /** Connections on each listener. */
  readonly adminMaxConnections: number;
  /** Callers in containers are treated like all others. */
  readonly allowContained: boolean;
  /** Whether to serve on a kernel that can't say which process connected. */
  readonly allowUnpinnedPeers: boolean;
  readonly bundleFor: BundleFor;
  /** A caller of the Workload API without an identity waits for one, instead of being refused. */
  readonly workloadApiHold: boolean;
  readonly disableSpiffeCertValidation: boolean;
  /** The SDS name of a caller's default identity. */
  readonly sdsDefaultName: string;
  /** The SDS name of the own bundle. */
  readonly sdsBundleName: string;
  /** The SDS name of all bundles; may be equal to that of the own one. */
  readonly sdsAllBundlesName: string;
  readonly x509SvidKeyType: SvidKeyType;
  /** Seconds. */
  readonly jwtSvidTtl: number;
  /** Of one token. */
  readonly maxJwtAudiences: number;
  readonly maxJwtSvidsPerSecondPerId: number;
  readonly maxCachedJwtSvidsPerId: number;
  readonly maxConnectionsPerUid: number;
  readonly maxStreamsPerUid: number;
  readonly maxRequestsPerSecondPerUid: number;
  readonly logLevel: LogLevel;
  /** Undefined: text on a terminal, else JSON. */
  readonly logFormat: LogFormat | undefined;
}

/** The settings of a server. */
export interface ServeConfig extends HostConfig, UpstreamSettings {
  readonly adminListen: HostPort | undefined;
  /** Undefined: `admin.token` in the data directory. */
  readonly adminTokenFile: string | undefined;
  /** Host names as in a Host header, without ports. */
  readonly adminHost: readonly string[];
  readonly adminInsecureListen: boolean;
  /** With `adminTlsKey`; undefined: clear text. */
  readonly adminTlsCert: string | undefined;
  readonly adminTlsKey: string | undefined;
  /** A file or folder. */
  readonly entries: string | undefined;
  /** Whether each change of it is applied. */
  readonly watchEntries: boolean;
  readonly allowWeakSelectors: boolean;
  /** Create the missing half of the data directory: database or authorities. */
  readonly newRoot: boolean;
  /** Publish a throw-away CA with each change of the revocation lists, so that Envoys resume no session of a revoked peer. */
  readonly revocationEpoch: boolean;
  /** Seconds. */
  readonly x509SvidTtl: number;
  /** Seconds. */
  readonly caTtl: number;
  /** Seconds. */
  readonly rootTtl: number;
  /** Seconds. */
  readonly rootPublishTime: number;
  /** Seconds. */
  readonly rootAckTimeout: number;
  readonly rootAckPolicy: RootAckPolicy;
  readonly caKeyType: AuthorityKeyType;
  readonly jwtKeyType: AuthorityKeyType;
  /** Seconds. */
  readonly jwtKeyTtl: number;
  /** Seconds; at most a third of `jwtKeyTtl`. */
  readonly jwtPublishBefore: number;
  /** The `iss` of tokens; undefined: they have none. */
  readonly jwtIssuer: string | undefined;
  /** Undefined: no OIDC discovery. */
  readonly oidcListen: HostPort | undefined;
  /** Undefined: clear text. */
  readonly oidcCertFile: string | undefined;
  readonly oidcKeyFile: string | undefined;
  /** Networks beyond the public ones in which bundle endpoints may be. */
  readonly federationAllow: readonly Network[];
  /** Seconds. */
  readonly federationMinRefresh: number;
  /** Undefined: no bundle endpoint. */
  readonly federationListen: HostPort | undefined;
  readonly federationProfile: FederationProfile;
  /** The SPIFFE ID of the bundle endpoint, in this trust domain and below `/sidekey` or `/spire`. */
  readonly federationSpiffeId: SpiffeId;
  readonly federationCertFile: string | undefined;
  readonly federationKeyFile: string | undefined;
  /** Seconds. */
  readonly federationRefreshHint: number;
  /** Undefined: no file. */
  readonly federationPublishFile: string | undefined;
  /** Undefined: no agents of other hosts attach. */
  readonly agentListen: HostPort | undefined;
  /** Authorities of agents' certificates; undefined: x509pop is off. */
  readonly agentX509popCa: string | undefined;
  /** Seconds. */
  readonly agentTtl: number;
  /** Undefined: the keys are in clear. */
  readonly keyPassphraseFile: string | undefined;
  readonly oldKeyPassphraseFile: string | undefined;
  /** Such as `C=CN,O=SPIFFE`; checked. */
  readonly caSubject: string;
  /** Seconds. */
  readonly auditKeep: number;
  /** Bytes. */
  readonly auditMaxSize: number;
}

/** How the bundle endpoint shows who it is: by an SVID, or by a certificate for its host name. */
export type FederationProfile = 'https_spiffe' | 'https_web';

/** Callers that get bundles: those with at least one matching entry, or all on the pipe. */
export type BundleFor = 'identified' | 'anyone';

/**
 * What to do when proxies have not acknowledged a new root in time: wait for them as long as possible, or sign without
 * them.
 */
export type RootAckPolicy = 'wait' | 'continue';

/** `10.1.0.0/16`: the address and the number of bits that all its addresses share. */
export interface Network {
  readonly address: string;
  readonly prefix: number;
}

export interface HostPort {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}
