/**
 * The queue of SVIDs to sign. It works in short slices, so that the event loop is never blocked for long. The SVIDs of
 * several slices are recorded in one write before any of them is handed out.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { SidekeyError } from '../base/errors.ts';
import type { IssuanceRecord } from '../base/issuance.ts';
import { isValidAt } from '../base/validity.ts';
import type { Authorities } from './authorities.ts';
import type { Authority } from './authority.ts';
import { type LeafRequest, LeafWriter } from './leaf.ts';
import { type Made, makeLeafs } from './leaf-batch.ts';
import { BATCH, LeafThread } from './leaf-thread.ts';
import { SvidTerms, type SvidTermsOptions } from './svid-terms.ts';
import type { IssuanceLog, SvidRequest, X509Svid } from './types.ts';

export interface IssuerOptions extends SvidTermsOptions {
  readonly authorities: Authorities;
  readonly issuanceLog: IssuanceLog;
  /** See {@link LeafThread}. */
  readonly threadFile?: string | undefined;
}

interface Job {
  readonly request: SvidRequest;
  readonly resolve: (svid: X509Svid) => void;
  readonly reject: (error: unknown) => void;
}

/** A job with the contents of its SVID. */
interface PreparedJob {
  readonly job: Job;
  readonly request: LeafRequest;
}

interface Signed {
  readonly job: Job;
  readonly svid: X509Svid;
}

/** Maximum duration of a slice, in milliseconds. */
const SLICE_MS = 5;
/** Number of SVIDs that go through each step together; see {@link makeLeafs}. */
const WRITTEN_TOGETHER = 32;
/**
 * Signed SVIDs are recorded when the queue is empty or this many wait, because a durable write costs more than a slice.
 */
const RECORDED_AT_ONCE = 256;
/** Number of batches queued for the second thread, so that it need not wait for the event loop. */
const AHEAD = 2;
/** Number of recorded SVIDs handed out in one turn of the event loop. */
const RELEASED_AT_ONCE = 32;

export class Issuer {
  readonly #options: IssuerOptions;
  #queue: Job[] = [];
  #working: Promise<void> | undefined;
  /** Set while the queue is empty and the second thread works; resolved by a new request. */
  #newcomer: PromiseWithResolvers<void> | undefined;
  #writer: LeafWriter | undefined;
  /** The shapes of SVIDs that OpenSSL has verified since the last record; see {@link makeLeafs}. */
  readonly #checked = new Set<boolean>();
  readonly #thread: LeafThread;
  readonly #svids: SvidTerms;
  /** The latest `notBefore` of all issued SVIDs. */
  #latestStart = 0;
  readonly #stopListening: () => void;
  #closed = false;

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.#svids = new SvidTerms(options);
    this.#thread = new LeafThread({ ...options, file: options.threadFile });
    this.#stopListening = options.clock.onSetBack(() => this.#noticeSetBackClock());
  }

  issue(request: SvidRequest): Promise<X509Svid> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, resolve, reject });
      this.#newcomer?.resolve();
      this.#working ??= this.#work();
    });
  }

  /** Records the signed SVIDs, rejects the queued requests, and stops. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    await this.#working;
    await this.#thread.close();
  }

  async #work(): Promise<void> {
    const signed: Signed[] = [];
    /** Batches in the second thread. */
    const elsewhere = new Set<Promise<void>>();
    while (this.#queue.length > 0 || elsewhere.size > 0 || signed.length > 0) {
      await nextTurn();
      try {
        if (this.#closed) throw new SidekeyError('ERR_CA', 'the authority is closed');
        this.#noticeSetBackClock();
        const authority = await this.#options.authorities.signer();
        this.#thread.startFor(this.#queue.length);
        while (elsewhere.size < AHEAD && this.#thread.takes(this.#queue.length)) {
          const batch = this.#signElsewhere(authority, signed).finally(() => elsewhere.delete(batch));
          elsewhere.add(batch);
        }
        this.#signSlice(authority, signed);
      } catch (error) {
        for (const job of this.#queue.splice(0)) job.reject(error);
      }
      if (this.#queue.length === 0 || signed.length >= RECORDED_AT_ONCE) {
        this.#checked.clear();
        await this.#release(signed.splice(0));
      }
      if (this.#queue.length === 0 && elsewhere.size > 0) {
        this.#newcomer = Promise.withResolvers();
        await Promise.race([this.#newcomer.promise, ...elsewhere]);
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

  /** Signs queued jobs until the slice ends and adds the SVIDs to `signed`. */
  #signSlice(authority: Authority, signed: Signed[]): void {
    const end = performance.now() + SLICE_MS;
    let taken = 0;
    do {
      this.#signTogether(this.#queue.slice(taken, taken + WRITTEN_TOGETHER), authority, signed);
      taken += WRITTEN_TOGETHER;
    } while (taken < this.#queue.length && performance.now() < end);
    this.#queue = this.#queue.slice(taken);
  }

  #signTogether(jobs: readonly Job[], authority: Authority, signed: Signed[]): void {
    if (this.#writer?.authority !== authority) {
      this.#writer = new LeafWriter(authority);
      this.#checked.clear();
    }
    const asked = this.#requests(jobs, authority);
    const requests = asked.map(({ request }) => request);
    signed.push(...this.#signed(asked, makeLeafs(this.#writer, requests, this.#checked), authority));
  }

  /** Signs a batch of jobs in the second thread. If that fails, the jobs return to the queue. */
  async #signElsewhere(authority: Authority, signed: Signed[]): Promise<void> {
    const asked = this.#requests(this.#queue.splice(0, BATCH), authority);
    const requests = asked.map(({ request }) => request);
    const made = await this.#thread.make(authority, requests).catch(() => undefined);
    if (made !== undefined) signed.push(...this.#signed(asked, made, authority));
    else this.#queue.unshift(...asked.map(({ job }) => job));
  }

  /** Prepares jobs; rejects those whose request is not allowed. */
  #requests(jobs: readonly Job[], authority: Authority): PreparedJob[] {
    const asked: PreparedJob[] = [];
    for (const job of jobs) {
      try {
        asked.push({ job, request: this.#svids.request(job.request, authority) });
      } catch (error) {
        job.reject(error);
      }
    }
    return asked;
  }

  #signed(asked: readonly PreparedJob[], made: readonly Made[], authority: Authority): Signed[] {
    const signed: Signed[] = [];
    asked.forEach(({ job, request }, i) => {
      const one = made[i]!;
      if ('fault' in one) job.reject(one.fault);
      else signed.push({ job, svid: this.#svids.svid(job.request, one.leaf, request, authority) });
    });
    return signed;
  }

  async #release(signed: readonly Signed[]): Promise<void> {
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
  return { serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt };
}
