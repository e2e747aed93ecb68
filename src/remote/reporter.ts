/**
 * Tells the server about the streams of this host: which bundle they have acknowledged, and which SVIDs they may still use.
 * A rotation of the root and a revocation wait for it.
 */

import type { Clock, Deadline } from '../base/index.ts';
import type { Ledger } from '../delivery/index.ts';
import type { Report } from '../gen/sidekey/agent.ts';
import type { Uplink } from '../uplink/index.ts';
import type { RemoteAuthority } from './authority.ts';

export interface ReporterParts {
  readonly ledger: Pick<Ledger, 'watch' | 'connections'>;
  readonly authority: Pick<RemoteAuthority, 'bundle' | 'onBundleChange' | 'signs'>;
  readonly isRevoked: (serial: string) => boolean;
  readonly uplink: Pick<Uplink, 'report'>;
  readonly clock: Clock;
}

/** After a change, so that the changes of a burst are one report. */
const SOON_MS = 20;
/** A report goes through all streams: it may take this part of the time at most. */
const PART_OF_TIME = 1 / 10;
/** Of each list; the server shows no more. */
const MOST = 100;
const MOST_LAGGING = 20;
/** Of the error text of a NACK, in characters. */
const SHOWN = 200;

export class Reporter {
  readonly #parts: ReporterParts;
  readonly #stops: (() => void)[];
  #revocations = 0n;
  #next: Deadline | undefined;
  #pauseMs = SOON_MS;

  constructor(parts: ReporterParts) {
    this.#parts = parts;
    this.#stops = [
      parts.ledger.watch(() => this.#changed()),
      // The streams are sent the bundle, and the report says that they have not answered.
      parts.authority.onBundleChange(() => this.#changed()),
    ];
  }

  /** Reports for the first time. */
  start(): void {
    this.#changed();
  }

  /** The revoked SVIDs have changed. */
  revoked(revision: bigint): void {
    this.#revocations = revision;
    this.#changed();
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#next?.cancel();
  }

  #changed(): void {
    this.#next ??= this.#parts.clock.after(this.#pauseMs, () => {
      this.#next = undefined;
      const begun = performance.now();
      this.#parts.uplink.report(this.#report());
      this.#pauseMs = Math.max(SOON_MS, (performance.now() - begun) / PART_OF_TIME);
    });
  }

  #report(): Report {
    const { ledger, authority, isRevoked, clock } = this.#parts;
    const now = clock.now();
    const { trustDomain, sequenceNumber } = authority.bundle();
    const report = emptyReport(BigInt(sequenceNumber), this.#revocations);
    const inUse = new Set<string>();
    const revoked = new Set<string>();
    const unanswered = new Set<string>();
    for (const { peer, node, streams } of ledger.connections()) {
      const { pid, uid } = peer.credentials;
      report.connections += 1;
      let hasBundle = false;
      let hasSecret = false;
      for (const stream of streams) {
        const { service, variant, secrets } = stream.report(now);
        report.streams += 1;
        for (const { name, version, acked, trust, ackedTrust, rejection, ...svid } of secrets) {
          hasSecret ||= version !== undefined;
          const isUsed = svid.authorityId !== undefined && (acked !== version || !authority.signs(svid.authorityId));
          if (isUsed && inUse.size < MOST) inUse.add(svid.authorityId!);
          if (svid.serial !== undefined && isRevoked(svid.serial)) revoked.add(svid.spiffeId!);
          // Until it answers, the proxy uses the one before, which may be revoked.
          else if (svid.serial !== undefined && acked !== version) unanswered.add(svid.spiffeId!);
          if (variant === 'jwt-bundles' || !trust?.some((bundle) => bundle.trustDomain === trustDomain)) continue;
          hasBundle = true;
          const has = ackedTrust?.find((bundle) => bundle.trustDomain === trustDomain)?.sequenceNumber ?? 0;
          if (BigInt(has) < report.acknowledged) report.acknowledged = BigInt(has);
          if (has >= sequenceNumber) {
            if (service === 'workload-api') report.informed += 1;
            else report.refusing += 1;
            continue;
          }
          report.waiting += 1;
          report.allLagging += 1;
          if (report.lagging.length >= MOST_LAGGING) continue;
          const text = rejection?.message.slice(0, SHOWN) ?? '';
          report.lagging.push({ pid, uid, node: node?.id ?? '', name, rejection: text });
        }
      }
      if (hasSecret && !hasBundle) report.unreachable += 1;
    }
    report.authoritiesInUse = [...inUse];
    report.revokedInUse = [...revoked, ...unanswered].slice(0, MOST);
    return report;
  }
}

function emptyReport(bundle: bigint, revocations: bigint): Report {
  return {
    ...{
      bundle,
      acknowledged: bundle,
      lagging: [],
      allLagging: 0,
      authoritiesInUse: [],
      revocations,
      revokedInUse: [],
    },
    ...{ refusing: 0, informed: 0, waiting: 0, unreachable: 0, connections: 0, streams: 0 },
  };
}
