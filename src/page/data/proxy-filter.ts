/** The filters and the order of the table of proxies, as they stand in the address. */

import { SECRET_STATES } from '../parts/index.ts';
import type { ProxyRow, SecretState } from './wire.ts';

export interface ProxyFilter {
  /** Only proxies with a secret in one of these states; empty: all. */
  readonly states: readonly SecretState[];
  /** Lower case: a part of the node id, cluster, owner, Envoy version, pid or connection. */
  readonly text: string;
  readonly uid: number | undefined;
  readonly node: string | undefined;
}

export function filterOf(query: URLSearchParams): ProxyFilter {
  const given = query.getAll('state');
  const uid = query.get('uid') ?? '';
  return {
    states: SECRET_STATES.filter((state) => given.includes(state)),
    text: (query.get('q') ?? '').trim().toLowerCase(),
    uid: /^\d{1,10}$/.test(uid) ? Number(uid) : undefined,
    node: query.get('node') ?? undefined,
  };
}

/** Whether the filter leaves something out. */
export function isFiltered({ states, text, uid, node }: ProxyFilter): boolean {
  return states.length > 0 || text !== '' || uid !== undefined || node !== undefined;
}

export function passes(row: ProxyRow, { states, text, uid, node }: ProxyFilter): boolean {
  if (uid !== undefined && row.uid !== uid) return false;
  if (node !== undefined && row.node_id !== node) return false;
  if (states.length > 0 && !states.some((state) => (row.counts[state] ?? 0) > 0)) return false;
  return text === '' || wordsOf(row).includes(text);
}

/** What the text of the filter is looked for in; rows are made anew when they change. */
const words = new WeakMap<ProxyRow, string>();

function wordsOf(row: ProxyRow): string {
  let text = words.get(row);
  if (text === undefined) {
    const { node_id: node, cluster, owner, version, pid, id } = row;
    text = [node, cluster, owner, version, pid, id].join('\n').toLowerCase();
    words.set(row, text);
  }
  return text;
}

/** How many proxies have a secret in each state. */
export function countByState(rows: readonly ProxyRow[]): Readonly<Record<SecretState, number>> {
  const counts = { rejected: 0, stale: 0, held: 0, unknown: 0, sent: 0, in_sync: 0 };
  for (const row of rows) for (const state of SECRET_STATES) if ((row.counts[state] ?? 0) > 0) counts[state] += 1;
  return counts;
}

const severity = new Map<string, number>([...SECRET_STATES, 'none'].map((state, index) => [state, index]));
const collator = new Intl.Collator(undefined, { numeric: true });

export const compareState = (a: ProxyRow, b: ProxyRow): number => severity.get(a.state)! - severity.get(b.state)!;
export const compareNode = (a: ProxyRow, b: ProxyRow): number => collator.compare(a.node_id ?? '', b.node_id ?? '');
export const compareOwner = (a: ProxyRow, b: ProxyRow): number => collator.compare(a.owner, b.owner) || a.uid - b.uid;
export const comparePid = (a: ProxyRow, b: ProxyRow): number => a.pid - b.pid;
export const compareVersion = (a: ProxyRow, b: ProxyRow): number => collator.compare(a.version ?? '', b.version ?? '');
export const compareSecrets = (a: ProxyRow, b: ProxyRow): number => secretsOf(a) - secretsOf(b);
/** Those without a certificate come last. RFC 3339 in UTC sorts as text. */
export const compareExpiry = (a: ProxyRow, b: ProxyRow): number => {
  const [one, other] = [a.expires_at ?? '~', b.expires_at ?? '~'];
  return one < other ? -1 : one > other ? 1 : 0;
};

export function secretsOf({ counts }: ProxyRow): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
