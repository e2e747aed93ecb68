/** What the audit records. */

import type { IssuanceRecord } from '../base/index.ts';
import type { Actor } from './actor.ts';

/** The actions, with what each of them means. */
export const AUDIT_ACTIONS = {
  'audit.started': 'the first row of a database; issuances from before it are not in the chain',
  'audit.pruned': 'older rows were removed by age or size; the row has the hash of the last one',
  'audit.tokens_pruned': 'the records of JWT-SVIDs that ended before a time were removed',
  'svid.issued': 'SVIDs were issued; the row has the digest of their records',
  'svid.revoked': 'an X.509-SVID was revoked before its end',
  'svid.restored': 'a revocation that was a hold was undone',
  'entry.created': 'an entry was created',
  'entry.changed': 'an entry was changed',
  'entry.deleted': 'an entry was deleted',
  'alias.created': 'an alias was created',
  'alias.changed': 'an alias was changed',
  'alias.deleted': 'an alias was deleted',
  'bundle.created': "another trust domain's bundle was set for the first time",
  'bundle.changed': "another trust domain's bundle was replaced",
  'bundle.deleted': "another trust domain's bundle was deleted",
  'relationship.created': 'a federation relationship was created',
  'relationship.changed': 'a federation relationship was changed',
  'relationship.deleted': 'a federation relationship was deleted',
  'authority.rotate_asked': 'somebody asked to replace an authority',
  'authority.import_asked': 'somebody imported the certificates of an offline root',
  'authority.carry_asked': 'somebody asked to put roots of another server into the bundle',
  'authority.created': 'an authority was created, or arrived from the upstream',
  'authority.published': 'a root or a JWT key came into the bundle',
  'authority.activated': 'an authority signs from now on',
  'authority.retired': 'an authority signs no more',
  'authority.tainted': 'somebody declared that the key of an authority may have leaked',
  'authority.carried': 'somebody put a root of another server into the bundle, or changed its end',
  'authority.removed': 'an authority was removed; a root or a JWT key left the bundle',
  'agent.token_created': 'a token was made with which one agent of another host can join',
  'agent.token_deleted': 'such a token was used, or has expired',
  'agent.attested': 'an agent of another host attested itself, and got an SVID',
  'agent.banned': 'somebody banned an agent',
  'agent.evicted': 'somebody made the server forget an agent, which must attest itself again',
  'agent.refused': 'requests to the agent port were refused; the row counts those of one minute',
  'token.created': 'a token of the admin API was created',
  'token.deleted': 'a token of the admin API was deleted',
  'token.reloaded': 'the file with the token of the admin API has another token',
  'session.link_made': 'somebody made a link to the page',
  'session.created': 'a browser signed in to the page with a link',
  'session.ended': 'somebody ended a session of the page',
  'log_level.changed': 'somebody changed the level of the log until the next start',
  'backup.asked': 'somebody asked for a backup, which has the keys of the authorities',
  'admin.refused': 'requests to the admin API were refused; the row counts those of one minute',
  'caller.refused': 'callers of the pipe were refused; the row counts those of one minute',
} as const;

export type AuditAction = keyof typeof AUDIT_ACTIONS;

/**
 * One event, without sequence number and hash, which the store adds. It never contains a key, a token, or the value of
 * an environment selector.
 */
export interface AuditEvent {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly action: AuditAction;
  readonly by: Actor;
  /** What it is about: the id of an entry, the host of an alias, a trust domain, the id of an authority. */
  readonly target?: string | undefined;
  readonly spiffeId?: string | undefined;
  /** The value before and after a change; undefined before a creation and after a deletion. */
  readonly before?: object | undefined;
  readonly after?: object | undefined;
  readonly detail?: object | undefined;
}

/** The record of an event as JSON, without its sequence number: made before a long transaction, it keeps that short. */
export type EventBody = string & { readonly [BODY]: true };
declare const BODY: unique symbol;

/** The record of a row as JSON. */
export interface AuditRecord {
  readonly sequence: number;
  /** RFC 3339. */
  readonly at: string;
  readonly action: string;
  readonly actor: Actor;
  readonly source: string;
  readonly target?: string;
  readonly spiffe_id?: string;
  readonly before?: Readonly<Record<string, unknown>>;
  readonly after?: Readonly<Record<string, unknown>>;
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** `detail` of `svid.issued`. */
export interface IssuedDetail {
  /** All issuances of a group have the same kind. */
  readonly kind: IssuanceRecord['kind'];
  /** Numbers of the first and the last issuance. */
  readonly first: number;
  readonly last: number;
  /** The latest end of the certificates or tokens, in milliseconds since the epoch. */
  readonly latest_end: number;
  /** SHA-256 of the lines of the issuances, lower-case hex. */
  readonly digest: string;
}

/**
 * `detail` of `audit.tokens_pruned`. The issuances of all earlier groups of tokens whose `latest_end` is before
 * `ended_before` may be missing.
 */
export interface TokensPrunedDetail {
  /** Milliseconds since the epoch. */
  readonly ended_before: number;
}

/** `detail` of `audit.pruned`. */
export interface PrunedDetail {
  /** The last removed row and its hash. All rows up to it, and the issuances up to `issuances`, are removed. */
  readonly last: number;
  readonly hash: string;
  /** The number of the last removed issuance; 0: none. */
  readonly issuances: number;
}
