/** Events as the page shows them: all in one shape, with texts of others cut. */

import type { Revocation } from '../../base/index.ts';
import type { AuthorityMove } from '../../ca/index.ts';
import type { StreamEvent } from '../../delivery/index.ts';
import type { RelationshipMove } from '../../federation/index.ts';
import type { Entry, EntryChange, Registry } from '../../registry/index.ts';
import { time } from '../time.ts';
import { cut } from './cut.ts';
import type { PageEventJson } from './live-schema.ts';

/** Names in an event. */
const NAMES = 5;

const EMPTY = {
  ...{ connection: null, node_id: null, pid: null, uid: null, names: [] },
  ...{ more_names: 0, id: null, spiffe_id: null, detail: null },
} as const satisfies Omit<PageEventJson, 'type' | 'at'>;

/** @param event not of type `sent` or `acked` */
export function pageStreamEvent({ type, at, peer, node, names, detail }: StreamEvent): PageEventJson {
  const { pid, uid } = peer.credentials;
  return {
    ...EMPTY,
    type: type as PageEventJson['type'],
    at: time(at),
    connection: peer.id,
    node_id: node === undefined ? null : cut(node),
    pid,
    uid,
    names: names.slice(0, NAMES).map(cut),
    more_names: Math.max(0, names.length - NAMES),
    detail: detail === undefined ? null : cut(detail),
  };
}

/** @param most of the last changes at most so many */
export function entryEvents(
  changes: readonly EntryChange[],
  registry: Pick<Registry, 'get'>,
  now: number,
  most: number,
): PageEventJson[] {
  return changes.slice(-most).flatMap(({ before, after }) => {
    if (after !== undefined) return [entryEvent(before === undefined ? 'entry_created' : 'entry_changed', after, now)];
    if (before === undefined) return [];
    // An expired entry stays stored.
    return [entryEvent(registry.get(before.id) === undefined ? 'entry_deleted' : 'entry_expired', before, now)];
  });
}

function entryEvent(type: PageEventJson['type'], { id, spiffeId }: Entry, now: number): PageEventJson {
  return { ...EMPTY, type, at: time(now), id, spiffe_id: cut(spiffeId) };
}

export function revocationEvent(type: 'revoked' | 'restored', one: Revocation, now: number): PageEventJson {
  return { ...EMPTY, type, at: time(now), id: one.serial, spiffe_id: one.spiffeId, detail: one.reason };
}

export function authorityEvent({ at, id, role, state }: AuthorityMove): PageEventJson {
  return { ...EMPTY, type: 'authority_moved', at: time(at), id, detail: `${role} ${state}` };
}

export function relationshipEvent({ at, trustDomain, state, detail }: RelationshipMove): PageEventJson {
  const text = detail === undefined ? state : `${state}: ${detail}`;
  return { ...EMPTY, type: 'relationship_moved', at: time(at), id: trustDomain, detail: cut(text) };
}
