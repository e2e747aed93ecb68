/** What a resource name stands for, and the secret behind it for one caller. */

import { SidekeyError } from '../base/errors.ts';
import type { TrustBundle, X509Svid } from '../ca/types.ts';
import type { Caller } from '../identity/caller.ts';
import type { Held } from '../identity/held.ts';
import type { Identities } from '../identity/identities.ts';
import type { Entry } from '../registry/types.ts';
import { parseSpiffeId, type SpiffeId, type TrustDomain, trustDomainId } from '../spiffe/id.ts';
import { bundleSecret, certificateSecret, type EncodedSecret, type Validation } from './secrets.ts';

/** A resource name, read. */
export type Name =
  | { readonly kind: 'identity'; readonly name: string; readonly spiffeId: SpiffeId }
  | { readonly kind: 'default'; readonly name: string }
  /** `all`: with the bundles of every domain that the caller's entries federate with. */
  | { readonly kind: 'bundle'; readonly name: string; readonly all: boolean }
  | { readonly kind: 'unknown'; readonly name: string };

/** Reads a name; the reserved ones are SPIRE's. */
export function readName(name: string, trustDomain: TrustDomain): Name {
  if (name === 'default') return { kind: 'default', name };
  if (name === 'ALL') return { kind: 'bundle', name, all: true };
  if (name === 'ROOTCA' || name === trustDomainId(trustDomain)) return { kind: 'bundle', name, all: false };
  try {
    return { kind: 'identity', name, spiffeId: parseSpiffeId(name) };
  } catch {
    return { kind: 'unknown', name };
  }
}

/** The names that stand for everything that the caller may have now. */
export function everyName(identities: Identities, caller: Caller, trustDomain: TrustDomain): string[] {
  const names = new Set<string>(caller.entries.map((entry) => entry.spiffeId));
  if (!isHeld(identities.bundle(caller))) names.add(trustDomainId(trustDomain));
  return [...names];
}

/** The entry behind a name for this caller, where an entry is what it stands for. */
export function entryBehind(name: Name, caller: Caller): Entry | undefined {
  if (name.kind === 'identity') return caller.entryFor(name.spiffeId);
  if (name.kind === 'default') return defaultEntry(caller.entries);
  return undefined;
}

/** The entry with the hint `default`, else the only one, else the oldest. */
function defaultEntry(entries: readonly Entry[]): Entry | undefined {
  return entries.find((entry) => entry.hint === 'default') ?? entries[0];
}

export function isHeld(value: object): value is Held {
  return 'reason' in value;
}

/**
 * The secret behind a name for an attested caller, or why it is held; a promise only where something must be issued or
 * read first. @throws (the promise) ERR_PEER_*, ERR_ATTESTATION_FAILED; a failed issuance is a reason to hold
 */
export function secretFor(
  identities: Identities,
  caller: Caller,
  name: Name,
  validation: Validation,
): EncodedSecret | Held | Promise<EncodedSecret | Held> {
  return secretNow(identities, caller, name, validation) ?? issued(identities, caller, name as EntryName);
}

/** What {@link secretFor} can tell at once; undefined where it would have to issue or read something. */
export function secretNow(
  identities: Identities,
  caller: Caller,
  name: Name,
  validation: Validation,
): EncodedSecret | Held | undefined {
  if (name.kind === 'bundle') {
    const bundle: TrustBundle | Held = identities.bundle(caller);
    return isHeld(bundle) ? bundle : bundleSecret(name.name, bundle, name.all ? 'spiffe' : validation);
  }
  if (name.kind === 'unknown') {
    return { reason: 'unknown-name', detail: 'the name is no SPIFFE ID, no known trust domain and no reserved name' };
  }
  const entry = entryBehind(name, caller);
  if (entry === undefined) return withoutEntry(identities, caller, name);
  const svid = identities.peekSvid(caller, entry);
  return svid === undefined ? undefined : certificateSecret(name.name, svid);
}

type EntryName = Extract<Name, { kind: 'identity' | 'default' }>;

function withoutEntry(identities: Identities, caller: Caller, name: EntryName): Held {
  if (name.kind === 'identity') return identities.explain(caller, name.spiffeId);
  return { reason: 'no-entry', detail: 'no entry matches this caller' };
}

async function issued(identities: Identities, caller: Caller, name: EntryName): Promise<EncodedSecret | Held> {
  const entry = entryBehind(name, caller);
  if (entry === undefined) return withoutEntry(identities, caller, name);
  let svid: X509Svid | undefined;
  try {
    svid = await identities.svid(caller, entry);
  } catch (error) {
    const failure = SidekeyError.from(error);
    if (failure.code !== 'ERR_CA' && failure.code !== 'ERR_STORE') throw failure;
    return { reason: 'issuance-failed', detail: failure.message };
  }
  if (svid !== undefined) return certificateSecret(name.name, svid);
  // The facts changed while it was issued; another entry may match now, and the watch on the entries tells so.
  return withoutEntry(identities, caller, name);
}
