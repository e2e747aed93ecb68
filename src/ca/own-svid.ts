/**
 * An SVID of the server itself, for one of its ports: issued and recorded like those of workloads, and kept fresh. It is
 * replaced when it is due, when another root signs, when it is revoked, and when the clock is set back to before it.
 */

import { backoffApart, type Clock, type Deadline, isValidAt, type Revocation } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { CertificateAuthority, SvidRequest, X509Svid } from './types.ts';

export interface OwnSvidParts extends Pick<SvidRequest, 'spiffeId' | 'entryId' | 'keyType'> {
  /** What it is for, in the log: `the bundle endpoint`. */
  readonly owner: string;
  readonly ca: Pick<CertificateAuthority, 'issue' | 'signs' | 'onReplaced'>;
  readonly revocations: {
    get(serial: string): Revocation | undefined;
    onChange(listener: (change: { readonly revoked: readonly Revocation[] }) => void): () => void;
  };
  readonly clock: Clock;
  readonly log: Log;
}

const RETRY_FIRST_MS = 500;
const RETRY_LIMIT_MS = 30_000;

export class OwnSvid {
  readonly #parts: OwnSvidParts;
  readonly #stops: (() => void)[];
  #svid: X509Svid | undefined;
  #problem: string | undefined;
  #next: Deadline | undefined;
  #failures = 0;
  #issuing: Promise<void> | undefined;
  /** Increases when the present SVID must be replaced at once. */
  #generation = 0;
  #onNew: () => void = () => undefined;
  #closed = false;

  private constructor(parts: OwnSvidParts) {
    this.#parts = parts;
    this.#stops = [
      parts.ca.onReplaced(() => this.#replace()),
      parts.revocations.onChange(({ revoked }) => {
        if (revoked.some(({ serial }) => serial === this.#svid?.serial)) this.#replace();
      }),
      parts.clock.onSetBack(() => {
        if (this.#svid !== undefined && !isValidAt(this.#svid, parts.clock.now())) this.#replace();
      }),
    ];
  }

  /** Issues the first SVID. If that fails, it is tried again. */
  static async open(parts: OwnSvidParts): Promise<OwnSvid> {
    const own = new OwnSvid(parts);
    await own.#issue();
    return own;
  }

  /** The present one, which may have ended; undefined: none could be issued yet. */
  get current(): X509Svid | undefined {
    return this.#svid;
  }

  /** Why there is no newer one; undefined: nothing is wrong. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Calls the listener for each further SVID. */
  onNew(listener: () => void): void {
    this.#onNew = listener;
  }

  close(): void {
    this.#closed = true;
    this.#next?.cancel();
    for (const stop of this.#stops) stop();
  }

  #replace(): void {
    this.#generation += 1;
    void this.#issue();
  }

  #issue(): Promise<void> {
    this.#issuing ??= this.#issueNow().finally(() => {
      this.#issuing = undefined;
    });
    return this.#issuing;
  }

  /** Never rejects: a failure is logged, and a retry is scheduled. */
  async #issueNow(): Promise<void> {
    const { ca, revocations, spiffeId, entryId, keyType, owner, log, clock } = this.#parts;
    while (!this.#closed) {
      const generation = this.#generation;
      try {
        const replacesUntil = this.#svid?.notAfter ?? 0;
        const svid = await ca.issue({ spiffeId, entryId, keyType, dnsNames: [], ttl: 0, notAfter: 0, replacesUntil });
        // Meanwhile another authority may sign, or the SVID may be revoked, as it is on record.
        const isOutdated = generation !== this.#generation && !ca.signs(svid.authorityId);
        if (isOutdated || revocations.get(svid.serial) !== undefined) continue;
        this.#use(svid);
      } catch (err) {
        if (this.#closed) return;
        this.#failures += 1;
        this.#problem = (err as Error).message;
        const delay = backoffApart(this.#failures, RETRY_FIRST_MS, RETRY_LIMIT_MS);
        log.error({ err, spiffe_id: spiffeId, retry_ms: delay }, `the SVID of ${owner} could not be issued`);
        this.#next?.cancel();
        this.#next = clock.after(delay, () => void this.#issue());
      }
      return;
    }
  }

  #use(svid: X509Svid): void {
    if (this.#closed) return;
    const { clock, log, owner } = this.#parts;
    this.#svid = svid;
    this.#failures = 0;
    this.#problem = undefined;
    this.#next?.cancel();
    this.#next = clock.at(svid.renewAt, () => void this.#issue());
    log.debug({ serial: svid.serial, not_after: new Date(svid.notAfter) }, `${owner} has a new SVID`);
    this.#onNew();
  }
}
