/** Parses resource names, and finds the secret for a name and a caller. */

import { SidekeyError } from '../base/index.ts';
import type { X509Svid } from '../ca/index.ts';
import { type Caller, defaultEntry, type Grant, type Held, type Identities, whyNothing } from '../identity/index.ts';
import {
  parseSpiffeId,
  parseTrustDomainId,
  type ReservedNames,
  SPIRE_NAMES,
  type SpiffeId,
  type TrustDomain,
  trustDomainId,
} from '../spiffe/index.ts';
import { bundleSecret, certificateSecret, type EncodedSecret, type ValidationForm } from './secrets.ts';

const SCHEME = 'spiffe://';

/** A parsed resource name. */
export type Name =
  | { readonly kind: 'identity'; readonly name: string; readonly spiffeId: SpiffeId }
  | { readonly kind: 'default'; readonly name: string }
  | { readonly kind: 'bundle'; readonly name: string; readonly trustDomain: TrustDomain }
  /** The bundles of the own trust domain and of every domain that the caller's entries federate with. */
  | { readonly kind: 'all'; readonly name: string }
  /** Any other name: an alias, if one of that name is set. */
  | { readonly kind: 'alias'; readonly name: string };

/** Parses a name. The name of all bundles may be that of the own bundle, and then means all. */
export function readName(name: string, trustDomain: TrustDomain, reserved: ReservedNames = SPIRE_NAMES): Name {
  if (name === reserved.default) return { kind: 'default', name };
  if (name === reserved.allBundles) return { kind: 'all', name };
  if (name === reserved.bundle) return { kind: 'bundle', name, trustDomain };
  try {
    if (!name.startsWith(SCHEME)) return { kind: 'alias', name };
    const hasPath = name.includes('/', SCHEME.length);
    if (hasPath) return { kind: 'identity', name, spiffeId: parseSpiffeId(name) };
    return { kind: 'bundle', name, trustDomain: parseTrustDomainId(name) };
  } catch {
    return { kind: 'alias', name };
  }
}

/** The names of all SVIDs and bundles that the caller may have now. */
export function everyName(identities: Identities, caller: Caller): string[] {
  const names = new Set<string>(caller.entries.map((entry) => entry.spiffeId));
  const own = identities.bundle(caller);
  if (!isHeld(own)) names.add(trustDomainId(own.trustDomain));
  for (const { trustDomain } of identities.federated(caller)) names.add(trustDomainId(trustDomain));
  return [...names];
}

/** The entry that gives this caller the SVID of this name; undefined if there is none, or if the name is a bundle's. */
export function entryBehind(identities: Identities, caller: Caller, name: Name): Grant | undefined {
  if (name.kind === 'default') return defaultEntry(caller.entries);
  const spiffeId = spiffeIdBehind(identities, name);
  return spiffeId && caller.entryFor(spiffeId);
}

/** The SPIFFE ID of a name; undefined if it has none, or if it depends on the caller (`default`). */
export function spiffeIdBehind(identities: Identities, name: Name): SpiffeId | undefined {
  if (name.kind === 'identity') return name.spiffeId;
  return name.kind === 'alias' ? identities.aliasOf(name.name) : undefined;
}

export function isHeld(value: object): value is Held {
  return 'reason' in value;
}

/**
 * The secret of a name for an attested caller, or the reason why the name is held.
 * @param respelled see {@link bundleSecret}
 * @throws (rejects) ERR_PEER_*, ERR_ATTESTATION_FAILED; a failed issuance does not reject but holds the name
 */
export async function secretFor(
  identities: Identities,
  caller: Caller,
  name: Name,
  validation: ValidationForm,
  respelled = false,
): Promise<EncodedSecret | Held> {
  return secretNow(identities, caller, name, validation, respelled) ?? issued(identities, caller, name);
}

/** {@link secretFor} without waiting; undefined if an SVID must be issued or facts must be read first. */
export function secretNow(
  identities: Identities,
  caller: Caller,
  name: Name,
  validation: ValidationForm,
  respelled = false,
): EncodedSecret | Held | undefined {
  if (name.kind === 'bundle') {
    const bundle = identities.bundle(caller, name.trustDomain);
    return isHeld(bundle) ? bundle : bundleSecret(name.name, [bundle], validation, respelled);
  }
  if (name.kind === 'all') {
    const own = identities.bundle(caller);
    // Only the SPIFFE validator keeps several trust domains apart.
    return isHeld(own) ? own : bundleSecret(name.name, [own, ...identities.federated(caller)], 'spiffe', respelled);
  }
  const entry = entryBehind(identities, caller, name);
  if (entry === undefined) return withoutEntry(identities, caller, name);
  const lapsed = identities.explainLapse(caller, entry);
  if (lapsed !== undefined) return lapsed;
  const svid = identities.peekSvid(caller, entry);
  return svid === undefined ? undefined : certificateSecret(name.name, svid);
}

const UNKNOWN =
  'there can be no secret of this name: it is not a SPIFFE ID, a reserved name or an alias; let Envoy read it from a file (sds_config with path_config_source), or make it an alias of a SPIFFE ID (sidekey alias set)';

function withoutEntry(identities: Identities, caller: Caller, name: Name): Held {
  const spiffeId = spiffeIdBehind(identities, name);
  if (spiffeId !== undefined) return identities.explain(caller, spiffeId);
  if (name.kind === 'default') {
    return whyNothing(caller) ?? { reason: 'no-entry', detail: 'no entry matches this caller' };
  }
  return { reason: 'unknown-name', detail: UNKNOWN };
}

/** How often an SVID is requested again because its entry or the caller's facts changed during issuance. */
const TRIES = 3;

async function issued(identities: Identities, caller: Caller, name: Name): Promise<EncodedSecret | Held> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const entry = entryBehind(identities, caller, name);
    if (entry === undefined) return withoutEntry(identities, caller, name);
    const lapsed = identities.explainLapse(caller, entry);
    if (lapsed !== undefined) return lapsed;
    let svid: X509Svid | undefined;
    try {
      svid = await identities.svid(caller, entry);
    } catch (error) {
      const failure = SidekeyError.from(error);
      if (failure.code !== 'ERR_CA' && failure.code !== 'ERR_STORE') throw failure;
      return { reason: 'issuance-failed', detail: failure.message };
    }
    if (svid !== undefined) return certificateSecret(name.name, svid);
  }
  return {
    reason: 'issuance-failed',
    detail: `the entry, or the facts of the caller, changed ${TRIES} times during issuance`,
  };
}
