/** Finds secrets of proxies that need attention. */

import { type ProxyRow, untilOrSince } from './proxy-rows.ts';

const HOUR_MS = 3_600_000;
/** SVIDs are renewed at half their life, ±10 %: with less than a third left, the renewal is overdue. */
const LAST_SHARE = 1 / 3;

/** Undefined if the secret is fine. A held name waits for an entry, which may be intended. */
export function troubleOf({ secret }: ProxyRow, now: number): string | undefined {
  if (secret.state === 'rejected') return `rejected: ${secret.rejection?.message ?? ''}`;
  if (secret.state === 'stale') {
    const since = secret.sent_at === null ? '' : ` ${untilOrSince(Date.parse(secret.sent_at) - now)}`;
    return `stale: sent${since}, and not answered`;
  }
  if (secret.expires_at === null || secret.not_before === null) return undefined;
  const end = Date.parse(secret.expires_at);
  const life = end - Date.parse(secret.not_before);
  const left = end - now;
  if (left >= Math.min(HOUR_MS, life * LAST_SHARE)) return undefined;
  return left > 0 ? `not renewed: the certificate ends ${untilOrSince(left)}` : `ended ${untilOrSince(left)}`;
}
