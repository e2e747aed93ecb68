/** The own SVID of the bundle endpoint: issued and recorded like those of workloads, and kept fresh. */

import type { RequestListener, ServerOptions } from 'node:http';
import { createServer, type Server as HttpsServer } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { backoffApart, type Clock, type Deadline, isValidAt } from '../../base/index.ts';
import type { CertificateAuthority, X509Svid } from '../../ca/index.ts';
import { type ServerTls, TLS_CONNECTIONS, TLS_PROTOCOL } from '../../https/index.ts';
import type { Registry } from '../../registry/index.ts';
import type { SpiffeId } from '../../spiffe/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { ENDPOINT_ENTRY_ID } from './endpoint-id.ts';
import type { EndpointState } from './state.ts';

export interface EndpointSvidParts {
  readonly spiffeId: SpiffeId;
  readonly ca: Pick<CertificateAuthority, 'issue' | 'signs' | 'onReplaced'>;
  readonly revocations: Pick<Registry['revocations'], 'get' | 'onChange'>;
  readonly clock: Clock;
  readonly log: Log;
}

const RETRY_FIRST_MS = 500;
const RETRY_LIMIT_MS = 30_000;

export class EndpointSvid implements ServerTls {
  readonly spiffeId: SpiffeId;
  readonly #parts: EndpointSvidParts;
  readonly #stops: (() => void)[];
  #svid: X509Svid | undefined;
  #problem: string | undefined;
  #server: HttpsServer | undefined;
  #onNew: () => void = () => undefined;
  #next: Deadline | undefined;
  #failures = 0;
  #issuing: Promise<void> | undefined;
  /** Increases when the present SVID must be replaced at once. */
  #generation = 0;
  #closed = false;

  private constructor(parts: EndpointSvidParts) {
    this.#parts = parts;
    this.spiffeId = parts.spiffeId;
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

  /** Issues the first SVID. If that fails, it is tried again, and handshakes fail meanwhile. */
  static async open(parts: EndpointSvidParts): Promise<EndpointSvid> {
    const svid = new EndpointSvid(parts);
    await svid.#issue();
    return svid;
  }

  /** A server whose new connections get the newest SVID. */
  createServer(options: ServerOptions, listener: RequestListener): HttpsServer {
    this.#server = createServer({ ...options, ...TLS_CONNECTIONS, ...this.#context() }, listener);
    return this.#server;
  }

  /** Calls the listener for each new SVID. */
  onNew(listener: () => void): void {
    this.#onNew = listener;
  }

  get state(): EndpointState['certificate'] {
    return { files: undefined, notAfter: this.#svid?.notAfter, problem: this.#problem };
  }

  close(): void {
    this.#closed = true;
    this.#next?.cancel();
    for (const stop of this.#stops) stop();
  }

  #context(): SecureContextOptions {
    if (this.#svid === undefined) return TLS_PROTOCOL;
    return { ...TLS_PROTOCOL, cert: this.#svid.certificateChain, key: this.#svid.privateKey };
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
    const { ca, revocations, spiffeId, log, clock } = this.#parts;
    const given = { dnsNames: [], keyType: '', ttl: 0, notAfter: 0 } as const;
    while (!this.#closed) {
      const generation = this.#generation;
      try {
        const replacesUntil = this.#svid?.notAfter ?? 0;
        const svid = await ca.issue({ ...given, entryId: ENDPOINT_ENTRY_ID, spiffeId, replacesUntil });
        // Meanwhile another authority may sign, or the SVID may be revoked, as it is on record.
        const isOutdated = generation !== this.#generation && !ca.signs(svid.authorityId);
        if (isOutdated || revocations.get(svid.serial) !== undefined) continue;
        this.#use(svid);
      } catch (err) {
        this.#failures += 1;
        this.#problem = (err as Error).message;
        const delay = backoffApart(this.#failures, RETRY_FIRST_MS, RETRY_LIMIT_MS);
        log.error({ err, spiffe_id: spiffeId, retry_ms: delay }, 'the SVID of the bundle endpoint could not be issued');
        this.#next?.cancel();
        this.#next = clock.after(delay, () => void this.#issue());
      }
      return;
    }
  }

  #use(svid: X509Svid): void {
    if (this.#closed) return;
    const { clock, log } = this.#parts;
    this.#svid = svid;
    this.#failures = 0;
    this.#problem = undefined;
    this.#server?.setSecureContext(this.#context());
    this.#next?.cancel();
    this.#next = clock.at(svid.renewAt, () => void this.#issue());
    log.debug({ serial: svid.serial, not_after: new Date(svid.notAfter) }, 'the bundle endpoint has a new SVID');
    this.#onNew();
  }
}
