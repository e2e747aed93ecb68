/** The server's own SVID for the agent port: on record like all SVIDs, renewed, and replaced when another root signs. */

import type { Clock, Deadline } from '../base/index.ts';
import type { CertificateAuthority, X509Svid } from '../ca/index.ts';
import { type SpiffeId, trustDomainId } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';

export interface OwnSvidParts {
  readonly ca: CertificateAuthority;
  readonly clock: Clock;
  readonly log: Log;
  /** Called with each new SVID. */
  readonly use: (svid: X509Svid) => void;
}

/** Time before the next attempt, in milliseconds. */
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

export class OwnSvid {
  readonly #parts: OwnSvidParts;
  readonly #stop: () => void;
  #next: Deadline | undefined;
  #svid: X509Svid | undefined;
  #asking: Promise<void> | undefined;
  #failures = 0;
  #closed = false;

  constructor(parts: OwnSvidParts) {
    this.#parts = parts;
    this.#stop = parts.ca.onReplaced(() => this.renew());
  }

  /** The present one, which may have ended; undefined: none could be made yet. */
  get current(): X509Svid | undefined {
    return this.#svid;
  }

  /** Makes a new one; one attempt at a time. */
  renew(): Promise<void> {
    this.#asking ??= this.#make().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    this.#next?.cancel();
  }

  async #make(): Promise<void> {
    const { ca, clock, log, use } = this.#parts;
    this.#next?.cancel();
    try {
      const svid = await ca.issue(requestOf(ca, this.#svid));
      if (this.#closed) return;
      this.#svid = svid;
      this.#failures = 0;
      use(svid);
      this.#next = clock.at(svid.renewAt, () => this.renew());
    } catch (err) {
      if (this.#closed) return;
      log.error(
        { err },
        'the SVID of the agent port could not be made: agents cannot connect once the former one ends',
      );
      this.#failures += 1;
      const delay = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures - 1, 6));
      this.#next = clock.after(delay, () => this.renew());
    }
  }
}

function requestOf(ca: CertificateAuthority, former: X509Svid | undefined) {
  return {
    ...{ entryId: '', spiffeId: serverId(ca), dnsNames: [], keyType: 'ec-p256' as const },
    ...{ ttl: 0, notAfter: 0, replacesUntil: former?.notAfter ?? 0 },
  };
}

/** Stock agents accept no other ID. */
function serverId({ trustDomain }: Pick<CertificateAuthority, 'trustDomain'>): SpiffeId {
  return `${trustDomainId(trustDomain)}/spire/server` as SpiffeId;
}
