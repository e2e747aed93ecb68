/** The interface of the certificate authority, and the services that it needs. */

import type { Actor } from '../audit/index.ts';
import type { IssuanceRecord, Revocation, SidekeyError } from '../base/index.ts';
import type { SpiffeId, SvidKeyType, TrustBundle, TrustDomain } from '../spiffe/index.ts';
import type { Authority, AuthorityRole } from './authority.ts';
import type { CsrError } from './csr.ts';
import type { JwtSigner } from './jwt/signer.ts';
import type { AUTHORITY_STATES } from './slot.ts';
import type { PendingRequest } from './upstream/upstream.ts';

export type { TrustBundle } from '../spiffe/index.ts';

/** A request for an SVID. Its contents come from a registry entry alone. */
export interface SvidRequest {
  readonly entryId: string;
  /** See {@link X509Svid.grant}. */
  readonly grant?: string;
  readonly spiffeId: SpiffeId;
  readonly dnsNames: readonly string[];
  /** Empty: the authority's default. */
  readonly keyType: SvidKeyType | '';
  /** Seconds; 0: the authority's default. */
  readonly ttl: number;
  /** The latest end of the SVID, in milliseconds since the epoch; 0: no limit. */
  readonly notAfter: number;
  /** When the SVID that it replaces ends, in milliseconds since the epoch; 0: there is none. */
  readonly replacesUntil: number;
}

/** An X.509-SVID with its key. Times in milliseconds since the epoch, on whole seconds. */
export interface X509Svid {
  readonly entryId: string;
  /** The request's name for what the SVID is for: an entry, or one SPIFFE ID of an entry. By default the entry's id. */
  readonly grant: string;
  readonly spiffeId: SpiffeId;
  /** Leaf, then the signer's chain without the root, PEM. */
  readonly certificateChain: string;
  /** PKCS#8, PEM. */
  readonly privateKey: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** The signing authority's subject key identifier, lower-case hex. */
  readonly authorityId: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /**
   * When to renew it: after half its life, with jitter; Infinity if it ends with its entry, since a new one would too.
   */
  readonly renewAt: number;
}

/** A request for an SVID of a key that its holder keeps: all but the key comes from a registry entry, or from the server. */
export interface CsrRequest extends Omit<SvidRequest, 'keyType' | 'grant' | 'replacesUntil'> {
  /** PKCS#10, DER, as its sender made it. */
  readonly csr: Uint8Array;
}

/** An X.509-SVID whose key is elsewhere. Times in milliseconds since the epoch, on whole seconds. */
export interface CertifiedSvid
  extends Pick<X509Svid, 'spiffeId' | 'serial' | 'authorityId' | 'notBefore' | 'notAfter'> {
  /** Leaf, then the signer's chain without the root, DER. */
  readonly certificates: readonly Buffer[];
}

/** The answer to one request of a batch. */
export type Certified = { readonly svid: CertifiedSvid } | { readonly fault: CsrError | SidekeyError };

export type AuthorityStateName = (typeof AUTHORITY_STATES)[number];

/** An authority without its keys. The subject of a JWT key is empty. */
export interface AuthorityInfo extends Pick<Authority, 'id' | 'keyType' | 'notBefore' | 'notAfter' | 'subject'> {
  readonly role: AuthorityRole | 'jwt';
  /** `carried`: a root of another server, see {@link CertificateAuthority.carry}. */
  readonly state: AuthorityStateName;
  /** When it came into this state, in milliseconds since the epoch. */
  readonly since: number;
  /** True if the key of the root is not here: it belongs to an upstream, or is offline. */
  readonly isUpstreams: boolean;
  /**
   * When the next root signs if all proxies have acknowledged it by then, or the next JWT key signs; in milliseconds since
   * the epoch.
   */
  readonly signsAfter: number | undefined;
  /**
   * Of an authority that is to sign next: until then other trust domains may not have fetched the bundle with it, in
   * milliseconds since the epoch; undefined if they do not fetch it.
   */
  readonly fetchedAt?: number | undefined;
  /** When a carried root leaves the bundle, in milliseconds since the epoch; undefined for others. */
  readonly leavesAt?: number;
  /**
   * Of a published root: the proxies that have not acknowledged the bundle with it. Of a tainted authority: those that
   * may still use an SVID of it. Lazy: to find out if there is one, take the first.
   */
  readonly waitsFor: Iterable<LaggingProxy>;
}

/** A change of an authority's state. */
export interface AuthorityMove extends Pick<AuthorityInfo, 'id' | 'role'> {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Undefined for a new one. */
  readonly before: AuthorityStateName | undefined;
  readonly state: AuthorityStateName | 'gone';
}

/** A change of an authority's state, and who asked for it. */
export interface AuditedMove extends AuthorityMove {
  readonly by: Actor;
  /** When a carried root leaves the bundle, after the move and before it, in milliseconds since the epoch. */
  readonly until?: number;
  readonly untilBefore?: number;
}

/** A move as it is stored. */
export interface StoredMove extends AuditedMove {
  /** The revision of the states that have it. */
  readonly revision: number;
}

/** A proxy that has not acknowledged a bundle, or a new SVID. */
export interface LaggingProxy {
  readonly pid: number;
  readonly uid: number;
  /** Its node ID. */
  readonly node: string | undefined;
  /** The name of the secret. */
  readonly name: string;
  /** The error text of its NACK; undefined if it has not answered. */
  readonly rejection: string | undefined;
}

export interface UpstreamInfo {
  readonly kind: string;
  /** For people, without secrets. */
  readonly description: string;
  readonly problem: string | undefined;
  /** Whether it signs in spite of the problem, until a restart. */
  readonly signsMeanwhile: boolean;
  /** The request that people must carry to an offline root. */
  readonly request: PendingRequest | undefined;
}

/** The revocation list of one authority. Times in milliseconds since the epoch. */
export interface RevocationListInfo {
  readonly authorityId: string;
  readonly role: AuthorityRole;
  /** Number of revoked certificates in it. */
  readonly entries: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

/** The record of issuances. The promise resolves when they are durable. */
export interface IssuanceLog {
  recordIssuances(records: readonly IssuanceRecord[]): Promise<void>;
}

/** Signs SVIDs under the live intermediate. `by` is who asks; without it, the server. */
export interface CertificateAuthority {
  readonly trustDomain: TrustDomain;
  /**
   * Issues an SVID; it is recorded when the promise resolves. @throws ERR_CA if it may not be signed; ERR_STORE if it
   * cannot be recorded
   */
  issue(request: SvidRequest): Promise<X509Svid>;
  /**
   * Certifies keys that are elsewhere. All SVIDs are recorded in one write when the promise resolves; the answers are in
   * the order of the requests. A bad request does not affect the others. @throws ERR_STORE if they cannot be recorded
   */
  certify(requests: readonly CsrRequest[]): Promise<Certified[]>;
  /** True if keys of this type take long to make. `''`: the default type */
  isSlow(keyType: SvidRequest['keyType']): boolean;
  /** True if this is the intermediate that signs now. */
  signs(authorityId: string): boolean;
  /** The key that signs JWT-SVIDs now. @throws ERR_CA if none can */
  jwtSigner(): Promise<JwtSigner>;
  bundle(): TrustBundle;
  authorities(): AuthorityInfo[];
  /** True for a root, DER, that was declared tainted and is still in the bundle. */
  isTainted(root: Buffer): boolean;
  /**
   * Replaces an authority: an intermediate at once; a root by one that is published now and signs when all proxies have
   * acknowledged it; the JWT key by the one that is published, once it has been for long enough. Does nothing while such a
   * rotation is in progress.
   * @throws ERR_ROTATION_LIMIT, ERR_AUTHORITY_STATE, ERR_UPSTREAM, ERR_CA
   */
  rotate(role: AuthorityInfo['role'], by?: Actor): Promise<void>;
  /**
   * Declares that the key of an authority may have leaked: the authority signs nothing from now on, all SVIDs are
   * reissued, and its root leaves the bundle within seconds. A JWT key leaves it at once, and the next one signs.
   * @throws ERR_NOT_FOUND, ERR_AUTHORITY_STATE, ERR_UPSTREAM, ERR_CA
   */
  taint(id: string, by?: Actor): Promise<void>;
  /**
   * Replaces the set of revoked certificates, and publishes the lists that have them: those of all authorities in one
   * change of the bundle. Without an unexpired one there are no lists.
   * @returns the sequence number of the bundle with the lists @throws ERR_CA if it fails, which is tried again
   */
  setRevoked(revoked: readonly Revocation[]): Promise<number>;
  /** Why certificates cannot be revoked; undefined if they can. */
  whyNotRevocable(): string | undefined;
  /**
   * Keeps roots whose keys are elsewhere out of the bundle until the returned function is called: call it once, after
   * {@link setRevoked}. @throws ERR_REVOCATION if no certificate can be revoked now
   */
  startRevocation(): () => void;
  /** The lists in the bundle; empty while nothing unexpired is revoked. */
  revocationLists(): RevocationListInfo[];
  /** Takes the certificates that an offline root signed, PEM. @throws ERR_AUTHORITY_STATE, ERR_UPSTREAM, ERR_CA */
  import(certificates: string, by?: Actor): Promise<void>;
  /**
   * Puts roots of another server of this trust domain into the bundle until then, so that workloads of both accept each
   * other; changes the end of those that are carried already. They sign nothing here.
   * @param certificates PEM
   * @param until milliseconds since the epoch
   * @throws ERR_BAD_INPUT, ERR_AUTHORITY_STATE, ERR_ROTATION_LIMIT, ERR_CA
   */
  carry(certificates: string, until: number, by?: Actor): Promise<void>;
  /** Takes a carried root out of the bundle. @throws ERR_NOT_FOUND, ERR_CA */
  drop(id: string, by?: Actor): Promise<void>;
  /**
   * The files of the authorities, keys included, as a kill at this moment would leave them: what was handed out until
   * now is in them. Synchronous. @throws Error if one cannot be read
   */
  snapshot(): Map<string, Buffer>;
  /** Why no SVID can be signed now, or soon; undefined if nothing is wrong. */
  trouble(): string | undefined;
  /** The upstream that signs the intermediates, and its present problem; undefined if own roots sign them. */
  upstream(): UpstreamInfo | undefined;
  /** Calls the listener for each change of an authority's state, when it is stored. */
  onMove(listener: (move: AuthorityMove) => void): () => void;
  onBundleChange(listener: (bundle: TrustBundle) => void): () => void;
  /**
   * Calls the listener when all SVIDs issued before must be replaced at once, because another root signs now, or
   * because an operator asked for it.
   */
  onReplaced(listener: () => void): () => void;
  close(): Promise<void>;
}

/** What gives SVIDs to callers of this host, wherever their signer is: this process, or the server of an agent. */
export type SvidAuthority = Pick<
  CertificateAuthority,
  'issue' | 'isSlow' | 'signs' | 'bundle' | 'onBundleChange' | 'onReplaced'
>;
