/**
 * What was sent to a proxy and what it answered. The server knows the last delivery, acknowledgement and rejection of each
 * secret; what comes while one looks is added to that.
 */

import type { ProxyReport } from './wire.ts';

export interface Delivery {
  readonly at: string;
  readonly type: 'stream_opened' | 'sent' | 'acked' | 'rejected' | 'held';
  readonly stream: number;
  /** Of the secret; undefined for a stream. */
  readonly name?: string;
  /** The version, the reason of a hold, or the error text of the proxy. */
  readonly detail?: string;
}

/** Deliveries that are kept. */
const MOST = 300;

/** Those of the report and those from before, newest first. */
export function deliveriesOf(report: ProxyReport, before: readonly Delivery[]): readonly Delivery[] {
  const known = new Set(before.map(keyOf));
  const found: Delivery[] = [];
  for (const { id: stream, service, variant, opened_at: at, secrets } of report.streams) {
    found.push({ at, type: 'stream_opened', stream, detail: `${service} ${variant}` });
    for (const { name, version, sent_at: sent, acked, acked_at: ackedAt, rejection, held } of secrets) {
      if (sent !== null) found.push({ at: sent, type: 'sent', stream, name, detail: version ?? '' });
      if (ackedAt !== null) found.push({ at: ackedAt, type: 'acked', stream, name, detail: acked ?? '' });
      if (rejection !== null)
        found.push({ at: rejection.at, type: 'rejected', stream, name, detail: rejection.message });
      if (held !== null) found.push({ at: held.since, type: 'held', stream, name, detail: held.reason });
    }
  }
  const added = found.filter((one) => !known.has(keyOf(one)));
  if (added.length === 0) return before;
  return [...added, ...before].sort(newestFirst).slice(0, MOST);
}

function keyOf({ at, type, stream, name }: Delivery): string {
  return JSON.stringify([at, type, stream, name]);
}

/** Of the same time, the answer is newer than what it answers. */
const ORDER = ['stream_opened', 'held', 'sent', 'acked', 'rejected'];

function newestFirst(a: Delivery, b: Delivery): number {
  if (a.at !== b.at) return a.at < b.at ? 1 : -1;
  return ORDER.indexOf(b.type) - ORDER.indexOf(a.type);
}
