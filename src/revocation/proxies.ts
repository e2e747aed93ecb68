/** What the connected proxies do with revocation lists, and which of them hold revoked SVIDs. */

import type { Ledger, SecretReport } from '../delivery/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import type { RevocationProxy } from './types.ts';

/**
 * One line for each bundle of this trust domain on a stream; for a connection without one, a line with its first
 * secret. Callers that were sent nothing have no part in it, nor have streams of keys of tokens.
 * @param sequenceNumber of the first bundle with the lists
 */
export function proxiesOf(
  ledger: Pick<Ledger, 'connections'>,
  trustDomain: TrustDomain,
  sequenceNumber: number,
  now: number,
): RevocationProxy[] {
  const all: RevocationProxy[] = [];
  for (const { peer, node, streams } of ledger.connections()) {
    const { pid, uid } = peer.credentials;
    const about = { pid, uid, node: node?.id };
    const before = all.length;
    let first: string | undefined;
    for (const stream of streams) {
      const { service, variant, secrets } = stream.report(now);
      if (variant === 'jwt-bundles') continue;
      for (const secret of secrets) {
        if (secret.version !== undefined) first ??= secret.name;
        if (secret.trust?.some((bundle) => bundle.trustDomain === trustDomain) !== true) continue;
        const has = service === 'workload-api' ? 'informed' : 'refusing';
        all.push({ ...about, ...stateOf(secret, trustDomain, sequenceNumber, has) });
      }
    }
    if (all.length > before || first === undefined) continue;
    all.push({ ...about, name: first, state: 'unreachable', since: undefined, rejection: undefined });
  }
  return all;
}

function stateOf(
  { name, ackedTrust, ackedAt, rejection }: SecretReport,
  trustDomain: TrustDomain,
  sequenceNumber: number,
  has: 'refusing' | 'informed',
): Pick<RevocationProxy, 'name' | 'state' | 'since' | 'rejection'> {
  const acked = ackedTrust?.find((bundle) => bundle.trustDomain === trustDomain);
  const hasLists = acked !== undefined && acked.sequenceNumber >= sequenceNumber;
  return {
    name,
    state: hasLists ? has : 'waiting',
    since: hasLists ? ackedAt : undefined,
    rejection: rejection?.message,
  };
}

/**
 * Those of these SPIFFE IDs of which a connected proxy may still use a revoked SVID: it is the last one that the proxy
 * was sent, or the proxy has not acknowledged the one after it.
 */
export function holdersOf(
  ledger: Pick<Ledger, 'connections'>,
  spiffeIds: ReadonlySet<string>,
  isRevoked: (serial: string) => boolean,
  now: number,
): Set<string> {
  const ids = new Set<string>();
  for (const { streams } of ledger.connections()) {
    for (const stream of streams) {
      for (const { spiffeId, serial, version, acked } of stream.report(now).secrets) {
        if (spiffeId === undefined || serial === undefined || !spiffeIds.has(spiffeId)) continue;
        if (isRevoked(serial) || acked !== version) ids.add(spiffeId);
      }
    }
  }
  return ids;
}
