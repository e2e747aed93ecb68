/** The certificate authority of one trust domain: {@link openCertificateAuthority}. */

import { type Clock, type Revocation, SidekeyError } from '../base/index.ts';
import type { AuthorityKeyType, SvidKeyType, TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { Authorities } from './authorities.ts';
import { type AuthorityAudit, AuthorityAuditor, NO_AUDIT } from './authority-audit.ts';
import { DEFAULT_REFRESH_HINT, OwnBundle } from './bundle.ts';
import { CarriedRoots } from './carried/carried-roots.ts';
import { Certifier } from './certifier.ts';
import type { IssuanceTimes } from './issuance-times.ts';
import { Issuer } from './issuer.ts';
import type { InspectedJwtKey } from './jwt/key-store.ts';
import { JwtKeys } from './jwt/keys.ts';
import { KeyCodec, type Passphrases } from './key-codec.ts';
import { type InspectedAuthority, KeyStore } from './key-store.ts';
import { parseName } from './name.ts';
import { PUBLISHED_HINTS } from './published-hints.ts';
import type { RotationTerms } from './rotation.ts';
import type { CertificateAuthority, IssuanceLog, LaggingProxy } from './types.ts';
import { OfflineRoot, rewriteRequestKey } from './upstream/offline.ts';
import type { UpstreamAuthority } from './upstream/upstream.ts';

export interface CertificateAuthorityOptions extends Passphrases {
  readonly trustDomain: TrustDomain;
  /** The directory of the authorities' files; it contains nothing else. Created with mode 0700 if missing. */
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly issuanceLog: IssuanceLog;
  /** Records changes of the authorities; by default nothing does. */
  readonly audit?: AuthorityAudit;
  /** Lifetime of an intermediate, in seconds. */
  readonly caTtl: number;
  /** Lifetime of a root, in seconds; it is replaced after half of it. */
  readonly rootTtl: number;
  /** How long a new root is in the bundle before it signs, in seconds. */
  readonly rootPublishTime: number;
  /** How often other trust domains should fetch the bundle, in seconds; by default 5 minutes. */
  readonly refreshHint?: number | undefined;
  /**
   * Other trust domains fetch the bundle: a new authority is published for at least {@link PUBLISHED_HINTS} refresh hints
   * before it signs.
   */
  readonly isFetched?: boolean;
  /** How long a new root waits for proxies that have not acknowledged it, in seconds, and what happens then. */
  readonly rootAckTimeout: number;
  readonly rootAckPolicy: 'wait' | 'continue';
  /** The proxies that have not acknowledged the bundle with this sequence number; by default none. */
  readonly lagging?: (sequenceNumber: number) => Iterable<LaggingProxy>;
  /** The proxies that may still use an SVID of one of these authorities; by default none. */
  readonly using?: (authorityIds: ReadonlySet<string>) => Iterable<LaggingProxy>;
  /** The upstream that signs the intermediates; by default own roots sign them. Closed with the authority. */
  readonly upstream?: UpstreamAuthority | undefined;
  /** An offline root signs the intermediates: its key is elsewhere, and people carry the requests to it. */
  readonly offlineRoot?: boolean;
  /** Default lifetime of an SVID, in seconds, for entries without one. */
  readonly x509SvidTtl: number;
  /** The type of an SVID's key, for entries without one. */
  readonly x509SvidKeyType: SvidKeyType;
  /** The type of the keys of new authorities. */
  readonly caKeyType: AuthorityKeyType;
  /** The first parts of new authorities' subjects: `C=US,O=SPIFFE`. */
  readonly caSubject: string;
  /** The certificates that are revoked at the start; by default none. */
  readonly revoked?: readonly Revocation[];
  /** Publish a throw-away CA with each change of the revocation lists; true by default. */
  readonly revocationEpoch?: boolean;
  /** The keys of JWT-SVIDs; undefined: the trust domain has none. */
  readonly jwt?: JwtOptions | undefined;
  /** Undefined: issuances are not measured. */
  readonly issuanceTimes?: IssuanceTimes;
  /** Spreads renewals; returns a number in [0, 1). */
  readonly random?: () => number;
}

export interface JwtOptions {
  /** The type of new JWT keys. */
  readonly keyType: AuthorityKeyType;
  /** Lifetime of a JWT key, in seconds; it signs for a third of it. */
  readonly keyTtl: number;
  /** How long a JWT key is in the bundle before it signs, in seconds; at most a third of its lifetime. */
  readonly publishBefore: number;
}

/** The longest JWT-SVID TTL that is always honoured in full, in seconds: a key stays for a third of its life. */
export function longestKeptJwtTtl(keyTtl: number): number {
  return Math.floor(keyTtl / 3);
}

/** True if authorities are stored in this directory; false if it does not exist. */
export { hasAuthorities } from './key-store.ts';

/**
 * The longest SVID TTL that is always honoured in full, in seconds: an intermediate signs until half of its life is
 * over.
 */
export function longestKeptSvidTtl(caTtl: number): number {
  return Math.floor(caTtl / 2);
}

/**
 * The authorities in the directory, which may not exist; changes nothing.
 * @throws ERR_CA if one is unusable, with its file and the remedy
 */
export function inspectAuthorities(
  dir: string,
  { trustDomain, ...passphrases }: Passphrases & { readonly trustDomain: TrustDomain },
): Promise<InspectedAuthority[]> {
  return KeyStore.inspect(dir, trustDomain, new KeyCodec(passphrases));
}

/** The same of the JWT keys. */
export function inspectJwtKeys(
  dir: string,
  { trustDomain, ...passphrases }: Passphrases & { readonly trustDomain: TrustDomain },
): Promise<InspectedJwtKey[]> {
  return KeyStore.inspectJwtKeys(dir, trustDomain, new KeyCodec(passphrases));
}

/**
 * Opens the authority; creates a root and an intermediate if there is none.
 * @throws ERR_CONFIG if the subject is invalid; ERR_CA if a stored authority is unusable, with its file and the remedy
 */
export async function openCertificateAuthority(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
  const { trustDomain, dir, clock, log, issuanceLog, offlineRoot, audit = NO_AUDIT } = options;
  const { x509SvidTtl, x509SvidKeyType, caKeyType: keyType, issuanceTimes: times } = options;
  const { random = Math.random, lagging = () => [], using = () => [] } = options;
  const { revoked = [], revocationEpoch = true } = options;
  const subject = parseName(options.caSubject, 'caSubject');
  const store = await KeyStore.open(dir, trustDomain, new KeyCodec(options));
  await rewriteRequestKey(store.requests());
  const offline = () => new OfflineRoot({ trustDomain, subject, keyType, clock, store: store.requests() });
  const upstream = offlineRoot === true ? offline() : options.upstream;
  const terms = rotationTerms(options);
  const failed = (err: unknown) => log.error({ err }, 'authority listener failed');
  const bundle = new OwnBundle(trustDomain, failed, options.refreshHint);
  const auditor = await AuthorityAuditor.open(audit, store);
  const authorities = await Authorities.open({
    trustDomain,
    store,
    bundle,
    clock,
    log,
    subject,
    keyType,
    terms,
    upstream,
    auditor,
    revoked,
    revocationEpoch,
    lagging,
    using,
  });
  const jwtKeys = await openJwtKeys(options, { store, bundle, auditor }).catch(async (error: unknown) => {
    await authorities.close();
    throw error;
  });
  const carried = await CarriedRoots.open({
    ...{ trustDomain, store: store.carried(), bundle, auditor, clock, log },
    knows: (root) => authorities.knows(root),
  }).catch(async (error: unknown) => {
    await jwtKeys?.close();
    await authorities.close();
    throw error;
  });
  authorities.moves.add(({ state }) => {
    if (state === 'tainted') carried.review();
  });
  bundle.open();
  // Roots whose keys are elsewhere and revocation lists exclude each other.
  let revoking = 0;
  let carrying = 0;
  const whyNotRevocable = () => {
    return carrying === 0 ? authorities.whyNotRevocable() : 'a root whose key is elsewhere is about to join the bundle';
  };
  const svidTerms = { x509SvidTtl, x509SvidKeyType, random };
  const measured = times === undefined ? {} : { times };
  const issuer = new Issuer({ trustDomain, authorities, issuanceLog, clock, log, ...svidTerms, ...measured });
  const certifier = new Certifier({ trustDomain, authorities, issuanceLog, clock, log, ...svidTerms });
  return {
    trustDomain,
    issue: (request) => issuer.issue(request),
    certify: (requests) => certifier.certify(requests),
    isSlow: (keyType) => issuer.isSlow(keyType),
    signs: (authorityId) => authorities.signs(authorityId),
    jwtSigner: async () => jwtKeysOf(jwtKeys).signer(),
    bundle: () => bundle.current,
    authorities: () => [...authorities.list(), ...carried.list(), ...(jwtKeys?.list() ?? [])],
    isTainted: (root) => authorities.isTainted(root),
    trouble: () => authorities.trouble(),
    upstream: () => authorities.upstream(),
    rotate: async (role, by) => (role === 'jwt' ? jwtKeysOf(jwtKeys).rotate(by) : authorities.rotate(role, by)),
    taint: async (id, by) => {
      if (carried.has(id) && !authorities.has(id)) {
        const what = `${id} is a carried root, which signs nothing here: sidekey ca drop ${id} takes it out of the bundle`;
        throw new SidekeyError('ERR_AUTHORITY_STATE', what);
      }
      return jwtKeys?.has(id) ? jwtKeys.taint(id, by) : authorities.taint(id, by);
    },
    setRevoked: (all) => authorities.setRevoked(all),
    whyNotRevocable,
    startRevocation: () => {
      const problem = whyNotRevocable();
      if (problem !== undefined) throw new SidekeyError('ERR_REVOCATION', `nothing can be revoked: ${problem}`);
      revoking += 1;
      return () => {
        revoking -= 1;
      };
    },
    revocationLists: () =>
      authorities.revocationLists().map(({ authority: { id, role }, revoked: { length }, thisUpdate, nextUpdate }) => {
        return { authorityId: id, role, entries: length, thisUpdate, nextUpdate };
      }),
    import: (certificates, by) => authorities.import(certificates, by),
    carry: async (certificates, until, by) => {
      if (revoking > 0 || authorities.hasRevoked()) {
        const what =
          'certificates are revoked, or are about to be: proxies would refuse all SVIDs under a carried root';
        const rule = 'wait until they have ended (sidekey revoke list), or restore those that were on hold';
        throw new SidekeyError(
          'ERR_AUTHORITY_STATE',
          `${what}, since nobody here can sign its revocation list; ${rule}`,
        );
      }
      carrying += 1;
      try {
        await carried.carry(certificates, until, by);
      } finally {
        carrying -= 1;
      }
    },
    drop: (id, by) => carried.drop(id, by),
    snapshot: () => {
      const files = authorities.snapshot();
      return jwtKeys?.withoutTainted(files) ?? files;
    },
    onMove: (listener) => {
      const stops = [authorities.moves, carried.moves, ...(jwtKeys === undefined ? [] : [jwtKeys.moves])].map((all) =>
        all.add(listener),
      );
      return () => {
        for (const stop of stops) stop();
      };
    },
    onBundleChange: (listener) => bundle.change.add(listener),
    onReplaced: (listener) => authorities.replaced.add(listener),
    close: async () => {
      await issuer.close();
      await carried.close();
      await jwtKeys?.close();
      await authorities.close();
    },
  };
}

async function openJwtKeys(
  { jwt, clock, log, ...options }: CertificateAuthorityOptions,
  { store, ...parts }: { readonly store: KeyStore; readonly bundle: OwnBundle; readonly auditor: AuthorityAuditor },
): Promise<JwtKeys | undefined> {
  if (jwt === undefined) return undefined;
  const publishAhead = publishAheadOf(options);
  const publishBefore = Math.max(jwt.publishBefore * 1000, publishAhead);
  const terms = { life: jwt.keyTtl * 1000, publishBefore, publishAhead };
  return JwtKeys.open({ ...parts, store: store.jwtKeys(), clock, log, keyType: jwt.keyType, terms });
}

function jwtKeysOf(keys: JwtKeys | undefined): JwtKeys {
  if (keys === undefined) throw new SidekeyError('ERR_CA', 'this trust domain has no JWT keys');
  return keys;
}

/** In milliseconds. */
function publishAheadOf({
  isFetched = false,
  refreshHint = DEFAULT_REFRESH_HINT,
}: Pick<CertificateAuthorityOptions, 'isFetched' | 'refreshHint'>): number {
  return isFetched ? PUBLISHED_HINTS * refreshHint * 1000 : 0;
}

function rotationTerms(options: CertificateAuthorityOptions): RotationTerms {
  const publishAhead = publishAheadOf(options);
  return {
    publishAhead,
    rootLife: options.rootTtl * 1000,
    intermediateLife: options.caTtl * 1000,
    publishTime: Math.max(options.rootPublishTime * 1000, publishAhead),
    ackTimeout: options.rootAckTimeout * 1000,
    onLagging: options.rootAckPolicy,
  };
}
