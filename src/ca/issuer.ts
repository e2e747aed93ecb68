/**
 * The queue of SVIDs to sign. It makes a few in each turn of the event loop, so that the loop is never blocked for
 * long.
 * Many are recorded in one write before any of them is handed out. SVIDs with RSA keys join the queue when they have
 * their key.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type IssuanceRecord, isValidAt, SidekeyError } from '../base/index.ts';
import type { Authorities } from './authorities.ts';
import type { IssuanceTimes } from './issuance-times.ts';
import type { RsaKeyPair } from './key-pair.ts';
import { LeafWriter } from './leaf.ts';
import { type LeafOrder, makeLeafs } from './leaf-batch.ts';
import { RsaKeys } from './rsa-keys.ts';
import type { Signer } from './signer.ts';
import { SvidTerms, type SvidTermsOptions } from './svid-terms.ts';
import type { IssuanceLog, SvidRequest, X509Svid } from './types.ts';

export interface IssuerOptions extends SvidTermsOptions {
  readonly authorities: Authorities;
  readonly issuanceLog: IssuanceLog;
  /** Undefined: nothing is measured. */
  readonly times?: IssuanceTimes;
}

interface Job {
  readonly request: SvidRequest;
  /** The key of an SVID with an RSA key. */
  readonly keyPair: RsaKeyPair | undefined;
  readonly resolve: (svid: X509Svid) => void;
  readonly reject: (error: unknown) => void;
}

interface SignedJob {
  readonly job: Job;
  readonly svid: X509Svid;
}

/** Number of SVIDs that are made in one turn of the event loop. */
const SIGNED_AT_ONCE = 32;
/**
 * Signed SVIDs are recorded when the queue is empty or this many wait, because a durable write costs more than a slice.
 */
const RECORDED_AT_ONCE = 256;
/** Number of recorded SVIDs handed out in one turn of the event loop. */
const RELEASED_AT_ONCE = 32;

export class Issuer {
  readonly #options: IssuerOptions;
  #queue: Job[] = [];
  #working: Promise<void> | undefined;
  #writer: LeafWriter | undefined;
  /** The shapes of SVIDs that OpenSSL has verified since the last record; see {@link makeLeafs}. */
  readonly #checked = new Set<string>();
  readonly #svids: SvidTerms;
  readonly #rsaKeys = new RsaKeys();
  /** The latest `notBefore` of all issued SVIDs. */
  #latestStart = 0;
  readonly #stopListening: () => void;
  #closed = false;

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.#svids = new SvidTerms(options);
    this.#stopListening = options.clock.onSetBack(() => this.#noticeSetBackClock());
  }

  /** True if keys of this type take long to make. */
  isSlow(keyType: SvidRequest['keyType']): boolean {
    return this.#svids.keyType({ keyType }) === 'rsa-2048';
  }

  issue(request: SvidRequest): Promise<X509Svid> {
    const { times } = this.#options;
    if (times === undefined) return this.#issue(request);
    return times.measure(this.#svids.keyType(request), () => this.#issue(request));
  }

  async #issue(request: SvidRequest): Promise<X509Svid> {
    const keyPair = this.isSlow(request.keyType) ? await this.#rsaKeys.take(request.replacesUntil) : undefined;
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, keyPair, resolve, reject });
      this.#working ??= this.#work();
    });
  }

  /** Records the signed SVIDs, rejects the queued requests, and stops. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#rsaKeys.close();
    this.#stopListening();
    await this.#working;
  }

  async #work(): Promise<void> {
    const signed: SignedJob[] = [];
    while (this.#queue.length > 0 || signed.length > 0) {
      await nextTurn();
      try {
        if (this.#closed) throw new SidekeyError('ERR_CA', 'the authority is closed');
        this.#noticeSetBackClock();
        const signer = await this.#options.authorities.signer();
        // While it was waited for, another authority may have been tainted; what that one signed is not recorded.
        const isOutdated = signed.length > 0 && signed[0]!.svid.authorityId !== signer.id;
        if (isOutdated) this.#queue.unshift(...signed.splice(0).map(({ job }) => job));
        await this.#signSome(signer, signed);
      } catch (error) {
        for (const job of this.#queue.splice(0)) job.reject(error);
      }
      if (this.#queue.length === 0 || signed.length >= RECORDED_AT_ONCE) {
        this.#checked.clear();
        await this.#release(signed.splice(0));
      }
    }
    // In the same turn as the last check of the queue, so that no request is added to a loop that has ended.
    this.#working = undefined;
  }

  /** If the clock was set back before the start of issued SVIDs, asks for their replacement: they are not valid yet. */
  #noticeSetBackClock(): void {
    const { authorities, clock, log } = this.#options;
    if (clock.now() >= this.#latestStart) return;
    this.#latestStart = 0;
    log.warn('the clock was set back to before the start of issued SVIDs: all SVIDs are reissued');
    authorities.replaced.tell();
  }

  /** Signs queued jobs and adds the SVIDs to `signed`. Rejects jobs whose request is not allowed. */
  async #signSome(signer: Signer, signed: SignedJob[]): Promise<void> {
    if (this.#writer?.signer !== signer) {
      this.#writer = new LeafWriter(signer);
      this.#checked.clear();
    }
    const jobs: Job[] = [];
    const orders: LeafOrder[] = [];
    for (const job of this.#queue.splice(0, SIGNED_AT_ONCE)) {
      try {
        orders.push({ request: this.#svids.request(job.request, signer), keyPair: job.keyPair });
        jobs.push(job);
      } catch (error) {
        job.reject(error);
      }
    }
    const made = await makeLeafs(this.#writer, orders, this.#checked);
    for (const [i, job] of jobs.entries()) {
      const one = made[i]!;
      if ('fault' in one) job.reject(one.fault);
      else signed.push({ job, svid: this.#svids.svid(job.request, one.leaf, orders[i]!.request, signer) });
    }
  }

  async #release(signed: readonly SignedJob[]): Promise<void> {
    if (signed.length === 0) return;
    const { issuanceLog, clock } = this.#options;
    const issuedAt = clock.now();
    try {
      await issuanceLog.recordIssuances(signed.map(({ svid }) => recordOf(svid, issuedAt)));
    } catch (error) {
      const failure = SidekeyError.from(error, 'ERR_STORE', 'the issuance could not be recorded');
      for (const { job } of signed) job.reject(failure);
      return;
    }
    for (const [i, { job, svid }] of signed.entries()) {
      // Each SVID causes another attestation of its callers, so hundreds of them in one turn would block the event
      // loop.
      if (i > 0 && i % RELEASED_AT_ONCE === 0) await nextTurn();
      if (isValidAt(svid, clock.now())) {
        this.#latestStart = Math.max(this.#latestStart, svid.notBefore);
        job.resolve(svid);
      } else job.reject(new SidekeyError('ERR_CA', 'the clock jumped while the issuance was recorded'));
    }
  }
}

function recordOf(svid: X509Svid, issuedAt: number): IssuanceRecord {
  const { serial, spiffeId, entryId, authorityId, notBefore, notAfter } = svid;
  return { kind: 'x509', serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt };
}
