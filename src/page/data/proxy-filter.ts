/** The filters and the order of the table of proxies, as they stand in the address. */

import type { ProxyRow } from '../../gen/admin-api.ts';
import { SECRET_STATES } from '../parts/index.ts';
import type { ProxyState } from './wire.ts';

/** Worst first. */
export const PROXY_STATES: readonly ProxyState[] = [...SECRET_STATES, 'none'];

export interface ProxyFilter {
  /** Only proxies in one of these states; empty: all. */
  readonly states: readonly ProxyState[];
  /** A part of the node id, SPIFFE ID, cluster, owner, Envoy version, pid, connection or problem. */
  readonly text: string;
  readonly uid: number | undefined;
  readonly node: string | undefined;
}

export function filterOf(query: URLSearchParams): ProxyFilter {
  const given = query.getAll('state');
  const uid = query.get('uid') ?? '';
  return {
    states: PROXY_STATES.filter((state) => given.includes(state)),
    text: query.get('q') ?? '',
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
  if (states.length > 0 && !states.includes(row.state)) return false;
  return text === '' || wordsOf(row).includes(text.toLowerCase());
}

/** What the text of the filter is looked for in; rows are made anew when they change. */
const words = new WeakMap<ProxyRow, string>();

function wordsOf(row: ProxyRow): string {
  let text = words.get(row);
  if (text === undefined) {
    const { node_id: node, spiffe_id: id, cluster, owner, envoy_version: version, pid, connection, problem } = row;
    text = [node, id, cluster, owner, version, pid, connection, problem].join('\n').toLowerCase();
    words.set(row, text);
  }
  return text;
}

/** How many proxies are in each state. */
export function countByState(rows: readonly ProxyRow[]): Readonly<Record<ProxyState, number>> {
  const counts = { rejected: 0, stale: 0, held: 0, unknown: 0, sent: 0, in_sync: 0, none: 0 };
  for (const { state } of rows) counts[state] += 1;
  return counts;
}

const severity = new Map<string, number>(PROXY_STATES.map((state, index) => [state, index]));
const collator = new Intl.Collator(undefined, { numeric: true });

export const compareState = (a: ProxyRow, b: ProxyRow): number => severity.get(a.state)! - severity.get(b.state)!;
export const compareNode = (a: ProxyRow, b: ProxyRow): number => collator.compare(a.node_id ?? '', b.node_id ?? '');
export const compareOwner = (a: ProxyRow, b: ProxyRow): number => collator.compare(a.owner, b.owner) || a.uid - b.uid;
export const comparePid = (a: ProxyRow, b: ProxyRow): number => a.pid - b.pid;
export const compareVersion = (a: ProxyRow, b: ProxyRow): number =>
  collator.compare(a.envoy_version ?? '', b.envoy_version ?? '');
export const compareSecrets = (a: ProxyRow, b: ProxyRow): number => secretsOf(a) - secretsOf(b);
/** Those without a certificate come last. RFC 3339 in UTC sorts as text. */
export const compareExpiry = (a: ProxyRow, b: ProxyRow): number => {
  const [one, other] = [a.expires_at ?? '~', b.expires_at ?? '~'];
  return one < other ? -1 : one > other ? 1 : 0;
};

export function secretsOf({ secrets }: Pick<ProxyRow, 'secrets'>): number {
  return Object.values(secrets).reduce((sum, count) => sum + count, 0);
}
