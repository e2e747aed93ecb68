/** The JSON of the page's own requests, until the OpenAPI document has them. */

import type { Authority, ProxyPage, Upstream } from '../../gen/admin-api.ts';

export type SecretState = 'held' | 'unknown' | 'sent' | 'in_sync' | 'rejected' | 'stale';
/** Of a proxy: the worst of its secrets; `none` if it asks for nothing. */
export type ProxyState = SecretState | 'none';

/** One connection, as the table shows it. */
export interface ProxyRow {
  readonly connection: string;
  /** Grows in the order of opening. */
  readonly number: number;
  readonly state: ProxyState;
  readonly node_id: string | null;
  readonly cluster: string | null;
  readonly envoy_version: string | null;
  readonly pid: number;
  readonly uid: number;
  readonly owner: string;
  readonly services: readonly string[];
  readonly opened_at: string;
  /** Secrets by state; a missing state has none. */
  readonly secrets: Readonly<Partial<Record<SecretState, number>>>;
  readonly spiffe_id: string | null;
  readonly spiffe_ids: number;
  /** Of the certificate that ends first. */
  readonly not_before: string | null;
  readonly expires_at: string | null;
  readonly problem: string | null;
}

export interface PageEvent {
  readonly type: string;
  readonly at: string;
  readonly connection: string | null;
  readonly node_id: string | null;
  readonly pid: number | null;
  readonly uid: number | null;
  readonly names: readonly string[];
  readonly more_names: number;
  readonly id: string | null;
  readonly spiffe_id: string | null;
  readonly detail: string | null;
}

export interface Counts {
  readonly proxies: Readonly<Partial<Record<ProxyState, number>>>;
  readonly secrets: Readonly<Partial<Record<SecretState, number>>>;
  readonly streams: number;
}

interface Place {
  /** Names one run of the server. */
  readonly instance: string;
  /** The number of the last message. */
  readonly cursor: number;
  readonly at: string;
}

export interface Hello extends Place {
  /** Nothing was missed since the last message. */
  readonly resumed: boolean;
}

/** What a message says has changed and does not show. */
export type ChangedKind = 'entries' | 'issuances' | 'revocations' | 'authorities';

export interface Changes extends Place {
  readonly rows: readonly ProxyRow[];
  /** Connections that have closed. */
  readonly gone: readonly string[];
  /** The last ones, oldest first. */
  readonly events: readonly PageEvent[];
  /** Earlier events that are left out. */
  readonly lost: number;
  readonly sent: number;
  readonly acked: number;
  readonly issued: number;
  readonly changed: readonly ChangedKind[];
  readonly counts: Counts;
}

export interface ProxyRows extends Place {
  readonly rows: readonly ProxyRow[];
}

export interface Finding {
  readonly rule: string;
  readonly severity: 'error' | 'warning' | 'info';
  readonly place: string;
  readonly line?: number;
  readonly problem: string;
  readonly why: string;
  readonly fix: string;
  readonly command?: string;
}

export interface Overview extends Place {
  readonly trust_domain: string;
  readonly version: string;
  readonly started_at: string;
  readonly entries: number;
  readonly revoked: number;
  readonly counts: Counts;
  readonly authorities: readonly Authority[];
  readonly upstream: Upstream | null;
  /** Null: still being found out. */
  readonly findings: { readonly at: string; readonly list: readonly Finding[]; readonly more: number } | null;
  /** Newest first. */
  readonly events: readonly PageEvent[];
}

export type ProxyReport = ProxyPage['proxies'][number];
export type Secret = ProxyReport['streams'][number]['secrets'][number];

export interface PageSession {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  /** `unix:UID` or `token:NAME` */
  readonly made_by: string;
  readonly created_at: string;
  readonly last_used_at: string;
  readonly expires_at: string;
  readonly current: boolean;
}
