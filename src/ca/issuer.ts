/**
 * The queue of what is to be signed. It works in slices, so that the event loop never stands still for long, and puts
 * some slices at a time on record, in one go, before anybody gets an SVID of them.
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

/** A job, and what is to stand in its SVID. */
interface PreparedJob {
  readonly job: Job;
  readonly request: LeafRequest;
}

interface Signed {
  readonly job: Job;
  readonly svid: X509Svid;
}

/** How long one slice may sign, in milliseconds. */
const SLICE_MS = 5;
/** How many go through each step together; see {@link makeLeafs}. */
const WRITTEN_TOGETHER = 32;
/** Signed SVIDs wait for each other up to this number: a write that the disk confirms costs more than a slice. */
const RECORDED_AT_ONCE = 256;
/** So many batches the second thread has at a time, so that it need not wait for the event loop. */
const AHEAD = 2;
/** Of those on record, so many are given out in one turn of the event loop. */
const RELEASED_AT_ONCE = 32;

export class Issuer {
  readonly #options: IssuerOptions;
  #queue: Job[] = [];
  #working: Promise<void> | undefined;
  /** For a queue that waits for the second thread: resolved when somebody asks. */
  #newcomer: PromiseWithResolvers<void> | undefined;
  #writer: LeafWriter | undefined;
  /** Of the writer's SVIDs that are to go on record next; see {@link makeLeafs}. */
  readonly #checked = new Set<boolean>();
  readonly #thread: LeafThread;
  readonly #svids: SvidTerms;
  /** The latest `notBefore` of an SVID that was given out. */
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

  /** Ends after what is signed is on record; what still waits is refused. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    await this.#working;
    await this.#thread.close();
  }

  async #work(): Promise<void> {
    const signed: Signed[] = [];
    /** What the second thread makes. */
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
    // In the same turn as the last look at the queue, so that nobody queues for a loop that has ended.
    this.#working = undefined;
  }

  /** SVIDs that a clock set back makes not valid yet are to be replaced. */
  #noticeSetBackClock(): void {
    const { authorities, clock, log } = this.#options;
    if (clock.now() >= this.#latestStart) return;
    this.#latestStart = 0;
    log.warn('the clock was set back to before SVIDs that were issued: all are issued anew');
    authorities.replaced.tell();
  }

  /** Takes jobs from the queue and adds what it signs to `signed`. */
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

  /** Takes a batch from the queue and adds what comes of it to `signed`; where the second thread fails, it is there again. */
  async #signElsewhere(authority: Authority, signed: Signed[]): Promise<void> {
    const asked = this.#requests(this.#queue.splice(0, BATCH), authority);
    const requests = asked.map(({ request }) => request);
    const made = await this.#thread.make(authority, requests).catch(() => undefined);
    if (made !== undefined) signed.push(...this.#signed(asked, made, authority));
    else this.#queue.unshift(...asked.map(({ job }) => job));
  }

  /** A job that asks for what it may not have drops out. */
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
      const failure = SidekeyError.from(error, 'ERR_STORE', 'the issuance could not be put on record');
      for (const { job } of signed) job.reject(failure);
      return;
    }
    for (const [i, { job, svid }] of signed.entries()) {
      // Who hears of an SVID attests its callers again, at once: hundreds of these in one turn would be a pause.
      if (i > 0 && i % RELEASED_AT_ONCE === 0) await nextTurn();
      if (isValidAt(svid, clock.now())) {
        this.#latestStart = Math.max(this.#latestStart, svid.notBefore);
        job.resolve(svid);
      } else job.reject(new SidekeyError('ERR_CA', 'the clock jumped while the SVID was put on record'));
    }
  }
}

function recordOf(svid: X509Svid, issuedAt: number): IssuanceRecord {
  const { serial, spiffeId, entryId, authorityId, notBefore, notAfter } = svid;
  return { serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt };
}
