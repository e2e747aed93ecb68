/** One proxy as a row of the page's table: small, since ten thousand are sent at once. */

import type { ProxyConnection, SecretReport } from '../../delivery/index.ts';
import { STATES } from '../proxy-schema.ts';
import { maybeTime, time } from '../time.ts';
import { cut } from './cut.ts';
import type { ProxyRowJson } from './live-schema.ts';

type State = SecretReport['state'];

/** The numbers of secrets by state, in the order of {@link STATES}. */
export type StateCounts = readonly number[];

export interface ProxyRow {
  readonly connection: string;
  readonly json: string;
  readonly state: ProxyRowJson['state'];
  readonly secrets: StateCounts;
  readonly streams: number;
}

/** The state of a proxy is the first one that one of its secrets has. */
const WORST_FIRST: readonly State[] = ['rejected', 'stale', 'held', 'unknown', 'sent', 'in_sync'];

/** @param now milliseconds since the epoch */
export function proxyRow({ number, peer, node, streams }: ProxyConnection, now: number): ProxyRow {
  const counts = STATES.map(() => 0);
  const ids = new Set<string>();
  const services = new Set<string>();
  let opened = now;
  let soonest: { readonly from: number | undefined; readonly to: number } | undefined;
  let streamCount = 0;
  let problem: { readonly rank: number; readonly text: string } | undefined;
  for (const stream of streams) {
    const { openedAt, service, secrets } = stream.report(now);
    streamCount += 1;
    opened = Math.min(opened, openedAt);
    services.add(service);
    for (const { state, spiffeId, notBefore, notAfter, held, rejection } of secrets) {
      counts[STATES.indexOf(state)]! += 1;
      if (spiffeId !== undefined) ids.add(spiffeId);
      if (notAfter !== undefined && notAfter < (soonest?.to ?? Number.POSITIVE_INFINITY))
        soonest = { from: notBefore, to: notAfter };
      const text = rejection?.message ?? held?.detail;
      const rank = WORST_FIRST.indexOf(state);
      if (text !== undefined && (problem === undefined || rank < problem.rank)) problem = { rank, text };
    }
  }
  const state = WORST_FIRST.find((one) => counts[STATES.indexOf(one)]! > 0) ?? 'none';
  const [first] = ids;
  const { pid, uid } = peer.credentials;
  const row: ProxyRowJson = {
    connection: peer.id,
    number,
    state,
    node_id: node === undefined ? null : cut(node.id),
    cluster: cutOrNull(node?.cluster),
    envoy_version: cutOrNull(node?.version),
    pid,
    uid,
    owner: cut(peer.owner.name),
    services: [...services] as ProxyRowJson['services'],
    opened_at: time(opened),
    secrets: secretsByState(counts),
    spiffe_id: first ?? null,
    spiffe_ids: ids.size,
    not_before: maybeTime(soonest?.from),
    expires_at: maybeTime(soonest?.to),
    problem: problem === undefined ? null : cut(problem.text),
  };
  return { connection: peer.id, json: JSON.stringify(row), state, secrets: counts, streams: streamCount };
}

/** An Envoy may leave them empty. */
function cutOrNull(text: string | undefined): string | null {
  return text ? cut(text) : null;
}

/** Only the states that some secret has. */
function secretsByState(counts: StateCounts): ProxyRowJson['secrets'] {
  return Object.fromEntries(STATES.flatMap((state, at) => (counts[at] === 0 ? [] : [[state, counts[at]]])));
}
