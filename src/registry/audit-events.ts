/**
 * The audit's events for changes of entries, aliases, bundles, tokens, relationships and
 * revocations. Values of environment selectors and tokens' texts are left out.
 */

import { createHash } from 'node:crypto';
import { redactSelector } from '../attest/index.ts';
import type { Actor, AuditEvent } from '../audit/index.ts';
import type { Revocation } from '../base/index.ts';
import type { Agent, JoinToken } from './agent.ts';
import type { Alias } from './alias.ts';
import type { Entry } from './entry-fields.ts';
import { entryToJson } from './entry-json.ts';
import type { FederatedBundle } from './federated-bundle.ts';
import type { Relationship } from './relationship.ts';
import { relationshipToJson } from './relationship-json.ts';
import type { Token } from './token.ts';

/** When the change happens, in milliseconds since the epoch, and who makes it. */
export interface By {
  readonly at: number;
  readonly by: Actor;
}

/** A value before and after a change; undefined: there is none. */
export interface Change<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

export function entryEvent({ before, after }: Change<Entry>, by: By): AuditEvent {
  const { id, spiffeId } = (after ?? before)!;
  return {
    ...by,
    action: `entry.${verb({ before, after })}`,
    target: id,
    spiffeId,
    before: before && entryShown(before),
    after: after && entryShown(after),
  };
}

export function aliasEvent({ before, after }: Change<Alias>, by: By): AuditEvent {
  const { host, spiffeId } = (after ?? before)!;
  const shown = (alias: Alias) => ({ host: alias.host, spiffe_id: alias.spiffeId });
  return {
    ...by,
    action: `alias.${verb({ before, after })}`,
    target: host,
    spiffeId,
    before: before && shown(before),
    after: after && shown(after),
  };
}

export function bundleEvent({ before, after }: Change<FederatedBundle>, by: By): AuditEvent {
  return {
    ...by,
    action: `bundle.${verb({ before, after })}`,
    target: (after ?? before)!.trustDomain,
    before: before && bundleShown(before),
    after: after && bundleShown(after),
  };
}

/** Without the hash of its text, by which requests are accepted. */
export function tokenEvent({ before, after }: Change<Token>, by: By): AuditEvent {
  return {
    ...by,
    action: after === undefined ? 'token.deleted' : 'token.created',
    target: (after ?? before)!.name,
    before: before && tokenShown(before),
    after: after && tokenShown(after),
  };
}

export function relationshipEvent({ before, after }: Change<Relationship>, by: By): AuditEvent {
  return {
    ...by,
    action: `relationship.${verb({ before, after })}`,
    target: (after ?? before)!.trustDomain,
    before: before && relationshipToJson(before, 'redacted'),
    after: after && relationshipToJson(after, 'redacted'),
  };
}

/** Renewals and reported versions have none: the row of the issuance has the renewed SVID. */
export function agentEvent({ before, after }: Change<Agent>, by: By): AuditEvent | undefined {
  const { id } = (after ?? before)!;
  const isRenewal = before !== undefined && after?.banned === before.banned && after.serial === before.serial;
  const isConfirmation = before !== undefined && after !== undefined && before.newSerial === after.serial;
  if (isRenewal || isConfirmation) return undefined;
  const verb = after === undefined ? 'evicted' : after.banned ? 'banned' : 'attested';
  return {
    ...by,
    action: `agent.${verb}`,
    target: id,
    spiffeId: id,
    before: before && agentShown(before),
    after: after && agentShown(after),
  };
}

function agentShown({ attestationType, selectors, alias, serial, notAfter, canReattest, banned }: Agent): object {
  return {
    attestation_type: attestationType,
    selectors: selectors.map(({ type, value }) => `${type}:${value}`),
    alias: alias === '' ? null : alias,
    serial,
    not_after: new Date(notAfter).toISOString(),
    can_reattest: canReattest,
    banned,
  };
}

/** By a part of the hash of its text. A token that was used or has expired is deleted. */
export function joinTokenEvent({ before, after }: Change<JoinToken>, by: By): AuditEvent {
  const { hash, alias, expiresAt } = (after ?? before)!;
  const shown = { alias: alias === '' ? null : alias, expires_at: new Date(expiresAt).toISOString() };
  return {
    ...by,
    action: after === undefined ? 'agent.token_deleted' : 'agent.token_created',
    target: hash.slice(0, 32),
    before: after === undefined ? shown : undefined,
    after: after === undefined ? undefined : shown,
  };
}

export function revocationEvent({ before, after }: Change<Revocation>, by: By): AuditEvent {
  const { serial, spiffeId } = (after ?? before)!;
  return {
    ...by,
    action: after === undefined ? 'svid.restored' : 'svid.revoked',
    target: serial,
    spiffeId,
    before: before && revocationShown(before),
    after: after && revocationShown(after),
  };
}

function revocationShown({ entryId, authorityId, notAfter, revokedAt, reason }: Revocation): object {
  const time = (instant: number) => new Date(instant).toISOString();
  return {
    reason,
    entry_id: entryId,
    authority_id: authorityId,
    revoked_at: time(revokedAt),
    not_after: time(notAfter),
  };
}

function tokenShown({ name, role, createdAt, expiresAt }: Token): object {
  const time = (instant: number) => new Date(instant).toISOString();
  return { name, role, created_at: time(createdAt), expires_at: expiresAt === 0 ? null : time(expiresAt) };
}

function verb({ before, after }: Change<unknown>): 'created' | 'changed' | 'deleted' {
  if (after === undefined) return 'deleted';
  return before === undefined ? 'created' : 'changed';
}

/** As the admin API shows it, except for secret values. */
function entryShown(entry: Entry): object {
  const selectors = entry.selectors.map((selector) => {
    const shown = redactSelector(selector);
    return { ...selector, value: shown.slice(shown.indexOf(':') + 1) };
  });
  return { ...entryToJson(entry), selectors };
}

/** The authorities as SHA-256 of their certificates: whole bundles would fill the audit. */
function bundleShown({
  trustDomain,
  source,
  sequenceNumber,
  statedSequence,
  refreshHint,
  x509Authorities,
  jwtAuthorities,
}: FederatedBundle): object {
  return {
    trust_domain: trustDomain,
    source,
    spiffe_sequence: sequenceNumber,
    // As a text, since it may have 64 bits.
    ...(statedSequence === undefined || statedSequence === BigInt(sequenceNumber)
      ? {}
      : { stated_sequence: String(statedSequence) }),
    spiffe_refresh_hint: refreshHint ?? null,
    x509_authorities: x509Authorities.map((der) => createHash('sha256').update(der).digest('hex')),
    jwt_authorities: jwtAuthorities.map(({ keyId }) => keyId),
  };
}
