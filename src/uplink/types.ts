/** What an agent's connection to its server takes and gives. Times in milliseconds since the epoch unless stated. */

import type { Clock, SidekeyError } from '../base/index.ts';
import type { Report } from '../gen/sidekey/agent.ts';
import type { Entry } from '../registry/index.ts';
import type { SpiffeId, TrustBundle, TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';

/** Where the uplink puts what the server says. Each call is applied whole, synchronously. */
export interface Mirror {
  /** @param change `whole`: the put ones are all entries of the agent, and those not in it are gone */
  entries(change: { readonly whole: boolean; readonly put: readonly Entry[]; readonly gone: readonly string[] }): void;
  /** A trust domain's bundle: the own one, or of one that an entry federates with. */
  bundle(bundle: TrustBundle): void;
  bundleGone(trustDomain: TrustDomain): void;
  /**
   * @param state `signing`: subject key identifier of the intermediate that signs now, lower-case hex; undefined: not known
   *   (a SPIRE server). `tainted`: the same of authorities whose SVIDs must be replaced
   */
  authorities(state: { readonly signing: string | undefined; readonly tainted: readonly string[] }): void;
  /** All aliases: others are gone. */
  aliases(aliases: readonly { readonly host: string; readonly spiffeId: SpiffeId }[]): void;
  /** @param state `serials`: of all revoked SVIDs, lower-case hex; `revision` grows with each change */
  revocations(state: { readonly serials: ReadonlySet<string>; readonly revision: bigint }): void;
  /** All SVIDs that were issued before must be replaced at once. */
  replaced(): void;
}

export interface UplinkStatus {
  readonly state: 'connected' | 'away';
  /** When it came into this state. */
  readonly since: number;
  /** `host:port` of the server that is connected, or was last; undefined: none was. */
  readonly server: string | undefined;
  /** What this server is; undefined: not known yet. */
  readonly kind: 'sidekey' | 'spire' | undefined;
  /** The version of a Sidekey server; undefined: not known. */
  readonly serverVersion: string | undefined;
  /** Undefined: not attested yet. */
  readonly agentId: SpiffeId | undefined;
  /** When the agent's own SVID ends. */
  readonly svidEnds: number | undefined;
  /** Why the server is away, or why the last request of the connection's own failed; undefined: nothing is wrong. */
  readonly problem: string | undefined;
  /** TTLs of SVIDs of entries without one, in seconds; undefined: not known (a SPIRE server). */
  readonly x509SvidTtl: number | undefined;
  readonly jwtSvidTtl: number | undefined;
  /** The server was not verified when the agent joined (`--insecure-bootstrap`). */
  readonly joinedInsecurely: boolean;
}

/** The DER of leaf and intermediates, without the root; or why there are none. */
export type NewSvid = { readonly certificates: readonly Buffer[] } | { readonly fault: SidekeyError };

export interface NewJwtSvid {
  readonly token: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface Uplink {
  readonly status: UplinkStatus;
  /** Calls the listener after each change of the status. @returns a function that removes it */
  onStatus(listener: () => void): () => void;
  /**
   * Certificates for keys of this host, in the order of the requests. Waits for a connection, at most 30 s.
   * @param requests at most 500; `csr`: PKCS#10, DER
   * @throws ERR_CA if the server is away or refuses
   */
  newSvids(requests: readonly { readonly entryId: string; readonly csr: Uint8Array }[]): Promise<NewSvid[]>;
  /** Waits for a connection, at most 30 s. @throws ERR_CA if the server is away or refuses */
  newJwtSvid(entryId: string, audiences: readonly string[]): Promise<NewJwtSvid>;
  /**
   * Sends the state of this host's streams: the newest replaces one that was not sent yet, and is sent after each new
   * connection too. No effect on a SPIRE server.
   */
  report(report: Report): void;
  close(): Promise<void>;
}

/** By what the agent knows a server that it has not seen before. A bundle kept in the data directory goes before it. */
export type ServerTrust =
  /** Roots in PEM, or a SPIFFE bundle in JSON. */
  | { readonly file: string }
  /** The same, fetched by https from a host that `caFile` (PEM) vouches for, by default the public CAs. */
  | { readonly url: string; readonly caFile?: string | undefined }
  /** Any server whose certificate has the right SPIFFE ID. */
  | { readonly insecure: true };

/** How the agent proves to a server which host it is. */
export type NodeAttestation =
  | { readonly type: 'join_token'; readonly token: string }
  | { readonly type: 'join_token'; readonly tokenFile: string }
  /** PEM: a certificate with its intermediates, and its key. */
  | { readonly type: 'x509pop'; readonly certificateFile: string; readonly keyFile: string };

export interface UplinkOptions {
  /** The agent's data directory, which the caller has locked. */
  readonly dataDir: string;
  /** One server or several of one trust domain. */
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  readonly trustDomain: TrustDomain;
  /** Undefined: only the kept bundle. */
  readonly trust: ServerTrust | undefined;
  /** Undefined: only the kept SVID. */
  readonly attestation: NodeAttestation | undefined;
  readonly mirror: Mirror;
  /** Answers a question of the server: a GET of the agent's admin API, such as `/v1/proxies?limit=100`. */
  readonly answer: (path: string) => Promise<{ readonly status: number; readonly body: Uint8Array }>;
  /** Called once, with what the operator must do: the agent can't go on. */
  readonly fatal: (error: SidekeyError) => void;
  /** Pause between two polls of a SPIRE server, in milliseconds. */
  readonly syncInterval: number;
  /** The host's name for people; by default that of the kernel. */
  readonly host?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}
