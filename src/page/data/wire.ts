/** The JSON of the page's own requests, until the OpenAPI document has them. */

import type { Authority, InputProblem, ProxyPage, Upstream } from '../../gen/admin-api.ts';

export type SecretState = 'held' | 'unknown' | 'sent' | 'in_sync' | 'rejected' | 'stale';

/** One connection, as the table shows it. */
export interface ProxyRow {
  /** The connection. */
  readonly id: string;
  readonly node_id: string | null;
  readonly cluster: string | null;
  readonly pid: number;
  readonly uid: number;
  readonly owner: string;
  readonly version: string | null;
  readonly streams: number;
  /** Secrets by state; a missing state has none. */
  readonly counts: Readonly<Partial<Record<SecretState, number>>>;
  /** The state that most needs somebody. */
  readonly state: SecretState | 'none';
  /** Of the certificate that ends first. */
  readonly not_before: string | null;
  readonly expires_at: string | null;
}

export interface LiveEvent {
  readonly type: string;
  readonly at: string;
  readonly [member: string]: unknown;
}

export interface Hello {
  /** Names one run of the server. */
  readonly instance: string;
  readonly cursor: number;
  readonly at: string;
}

export interface LiveChange {
  readonly cursor: number;
  readonly at: string;
  readonly rows?: readonly ProxyRow[];
  /** Connections that ended. */
  readonly gone?: readonly string[];
  readonly events?: readonly LiveEvent[];
  readonly counts?: Counts;
  /** Changes that the server left out: read everything again. */
  readonly lost?: number;
}

export interface Counts {
  /** Connections, and how many of them have a secret in each state. */
  readonly proxies: { readonly total: number; readonly states: Readonly<Partial<Record<SecretState, number>>> };
  readonly secrets: { readonly total: number; readonly states: Readonly<Partial<Record<SecretState, number>>> };
  readonly streams: number;
  readonly entries: number;
}

export interface Snapshot extends Hello {
  readonly rows: readonly ProxyRow[];
}

export type ProxyReport = ProxyPage['proxies'][number];
export type Secret = ProxyReport['streams'][number]['secrets'][number];

/** A proxy with all of its secrets, and what was sent to it and answered. */
export interface ProxyDetail {
  readonly at: string;
  readonly proxy: ProxyReport;
  /** Newest first. */
  readonly history: readonly StreamEvent[];
}

/** An event of a stream, as in /v1/events. */
export interface StreamEvent extends LiveEvent {
  readonly connection: string;
  readonly stream: number;
  readonly names: readonly string[];
  readonly detail: string | null;
}

export interface Finding {
  readonly rule: string;
  readonly severity: 'error' | 'warning' | 'info';
  readonly place: string;
  readonly problem: string;
  readonly why: string;
  readonly fix: string;
  readonly command?: string | null;
}

export interface Overview extends Hello {
  readonly trust_domain: string;
  readonly version: string;
  readonly counts: Counts;
  readonly authorities: readonly Authority[];
  readonly upstream: Upstream | null;
  readonly findings: readonly Finding[];
  /** Newest first. */
  readonly events: readonly LiveEvent[];
}

export interface PageSession {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly created_at: string;
  readonly last_used_at: string;
  readonly expires_at: string;
  readonly current: boolean;
}

export type { InputProblem };
