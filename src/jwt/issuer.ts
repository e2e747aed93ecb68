/**
 * The queue of tokens to sign. All that wait are signed together, in the thread pool, and recorded in one write before any
 * of them leaves.
 */

import { hash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BACKDATE_MS, type Clock, type IssuanceRecord, SidekeyError } from '../base/index.ts';
import type { CertificateAuthority, JwtSigner } from '../ca/index.ts';
import type { SpiffeId } from '../spiffe/index.ts';
import { type JwtClaims, writeJws } from './jws.ts';

/** A JWT-SVID. Times in milliseconds since the epoch, on whole seconds. */
export interface JwtSvid {
  readonly token: string;
  readonly spiffeId: SpiffeId;
  /** The `kid` of the key that signed it. */
  readonly keyId: string;
  /** A little before it was signed, for validators whose clocks are behind. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** What a token is to contain. */
export interface TokenRequest {
  readonly entryId: string;
  readonly spiffeId: SpiffeId;
  /** Checked. */
  readonly audiences: readonly string[];
  /** Seconds. */
  readonly ttl: number;
  /** The end of its entry, in milliseconds since the epoch; 0: none. */
  readonly notAfter: number;
}

/** What signs tokens: a key of this process, or the server of an agent. */
export interface TokenSource {
  /** Signs a token; it is recorded when the promise resolves. @throws ERR_CA if it cannot be signed; ERR_STORE */
  issue(request: TokenRequest): Promise<JwtSvid>;
  /** True if validators with the present bundle accept the key. */
  isTrusted(keyId: string): boolean;
  /** Rejects the queued requests, and waits for the others. */
  close(): Promise<void>;
}

export interface TokenIssuerOptions {
  readonly ca: Pick<CertificateAuthority, 'jwtSigner' | 'bundle'>;
  /** The promise resolves when the records are durable. */
  readonly issuanceLog: { recordIssuances(records: readonly IssuanceRecord[]): Promise<void> };
  readonly clock: Clock;
  /** The `iss` of the tokens; undefined: they have none. */
  readonly issuer: string | undefined;
}

interface Job {
  readonly request: TokenRequest;
  readonly resolve: (svid: JwtSvid) => void;
  readonly reject: (error: unknown) => void;
}

interface SignedJob {
  readonly job: Job;
  readonly svid: JwtSvid;
}

/** The number of tokens that are signed and recorded together. */
const AT_ONCE = 64;

export class TokenIssuer implements TokenSource {
  readonly #options: TokenIssuerOptions;
  #queue: Job[] = [];
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(options: TokenIssuerOptions) {
    this.#options = options;
  }

  issue(request: TokenRequest): Promise<JwtSvid> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, resolve, reject });
      this.#working ??= this.#work();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#working;
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      await nextTurn();
      const jobs = this.#queue.splice(0, AT_ONCE);
      try {
        if (this.#closed) throw new SidekeyError('ERR_CA', 'the authority is closed');
        await this.#handle(jobs);
      } catch (error) {
        for (const job of jobs) job.reject(error);
      }
    }
    // In the same turn as the last check of the queue, so that no request is added to a loop that has ended.
    this.#working = undefined;
  }

  async #handle(jobs: readonly Job[]): Promise<void> {
    const signer = await this.#options.ca.jwtSigner();
    const signed = (await Promise.all(jobs.map((job) => this.#sign(job, signer)))).filter((one) => one !== undefined);
    await this.#record(signed);
    // Meanwhile the key may have been tainted.
    if (!this.isTrusted(signer.keyId)) this.#queue.unshift(...signed.map(({ job }) => job));
    else for (const { job, svid } of signed) job.resolve(svid);
  }

  isTrusted(keyId: string): boolean {
    return this.#options.ca.bundle().jwtAuthorities.some((authority) => authority.keyId === keyId);
  }

  /** Undefined if the job was rejected. */
  async #sign(job: Job, signer: JwtSigner): Promise<SignedJob | undefined> {
    try {
      const { spiffeId } = job.request;
      const claims = this.#claims(job.request, signer);
      const token = await writeJws(claims, signer);
      const { iat, exp } = claims;
      const svid = { token, spiffeId, keyId: signer.keyId, issuedAt: iat * 1000, expiresAt: exp * 1000 };
      return { job, svid };
    } catch (error) {
      job.reject(error);
      return undefined;
    }
  }

  /** @throws ERR_CA if the entry has expired */
  #claims({ entryId, spiffeId, audiences, ttl, notAfter }: TokenRequest, signer: JwtSigner): JwtClaims {
    const { clock, issuer } = this.#options;
    const now = clock.now();
    const end = Math.min(now + ttl * 1000, signer.notAfter, notAfter === 0 ? Number.POSITIVE_INFINITY : notAfter);
    const exp = Math.floor(end / 1000);
    if (exp * 1000 <= now) throw new SidekeyError('ERR_CA', `the entry ${entryId}, or the key of its tokens, ends now`);
    const iat = Math.floor((now - BACKDATE_MS) / 1000);
    return { aud: audiences, exp, iat, ...(issuer === undefined ? {} : { iss: issuer }), sub: spiffeId };
  }

  async #record(signed: readonly SignedJob[]): Promise<void> {
    if (signed.length === 0) return;
    const issuedAt = this.#options.clock.now();
    try {
      await this.#options.issuanceLog.recordIssuances(signed.map((one) => recordOf(one, issuedAt)));
    } catch (error) {
      throw SidekeyError.from(error, 'ERR_STORE', 'the issuance could not be recorded');
    }
  }
}

function recordOf({ job: { request }, svid }: SignedJob, issuedAt: number): IssuanceRecord {
  const { spiffeId, entryId } = request;
  const { token, keyId: authorityId, issuedAt: notBefore, expiresAt: notAfter } = svid;
  const serial = hash('sha256', token, 'hex').slice(0, 32);
  return { kind: 'jwt', serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt };
}
