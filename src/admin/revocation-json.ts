/** Revocations and their outcome as JSON. */

import type { Revocation } from '../base/index.ts';
import type { RevocationOutcome, RevocationProxy } from '../revocation/index.ts';
import type { RestoredJson, RevocationJson, RevocationProxyJson, RevokedJson } from './revocation-schema.ts';
import { maybeTime, time } from './time.ts';

/** Maximum number of proxies in one answer. */
const LISTED = 1_000;

const STATES: readonly RevocationProxy['state'][] = ['waiting', 'unreachable', 'informed', 'refusing'];

export function revocationJson(revocation: Revocation): RevocationJson {
  const { serial, spiffeId, entryId, authorityId, notAfter, revokedAt, reason } = revocation;
  return {
    serial,
    spiffe_id: spiffeId,
    entry_id: entryId,
    authority_id: authorityId,
    expires_at: time(notAfter),
    revoked_at: time(revokedAt),
    reason,
  };
}

export function revokedJson({ changed, already, replaced, ...rest }: RevocationOutcome): RevokedJson {
  return { revoked: changed.map(revocationJson), already, replaced, ...published(rest) };
}

/** The answer where no certificate was to be revoked. */
export function nothingRevokedJson(proxies: readonly RevocationProxy[]): RevokedJson {
  return {
    revoked: [],
    already: 0,
    replaced: { asked: 0, acknowledged: 0 },
    published_at: null,
    ...proxiesJson(proxies),
  };
}

export function restoredJson({ changed, ...rest }: RevocationOutcome): RestoredJson {
  return { restored: changed.map(revocationJson), ...published(rest) };
}

function published({ publishedAt, proxies }: Pick<RevocationOutcome, 'publishedAt' | 'proxies'>) {
  return { published_at: time(publishedAt), ...proxiesJson(proxies) };
}

/** The members `proxy_counts` and `proxies`. */
export function proxiesJson(proxies: readonly RevocationProxy[]): Pick<RevokedJson, 'proxies' | 'proxy_counts'> {
  const byState = Map.groupBy(proxies, ({ state }) => state);
  const inOrder = STATES.flatMap((state) => byState.get(state) ?? []);
  const countOf = (state: RevocationProxy['state']) => byState.get(state)?.length ?? 0;
  return {
    proxy_counts: {
      refusing: countOf('refusing'),
      informed: countOf('informed'),
      waiting: countOf('waiting'),
      unreachable: countOf('unreachable'),
    },
    proxies: inOrder.slice(0, LISTED).map(proxyJson),
  };
}

function proxyJson({ pid, uid, node, name, state, since, rejection }: RevocationProxy): RevocationProxyJson {
  return {
    pid,
    uid,
    node_id: node ?? null,
    name,
    state,
    refusing_since: maybeTime(since),
    rejection: rejection ?? null,
  };
}
