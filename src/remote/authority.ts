/**
 * The authority of an agent: the keys are made here, and the server signs their certificates. Requests of one turn of the
 * event loop go to the server together.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Clock, Listeners, SidekeyError } from '../base/index.ts';
import { type KeyPair, KeyPairs, makeCsr, receivedSvid, type SvidAuthority, type X509Svid } from '../ca/index.ts';
import { makeTrustBundle, type SvidKeyType, type TrustBundle, type TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { Uplink } from '../uplink/index.ts';

type SvidRequest = Parameters<SvidAuthority['issue']>[0];

export interface RemoteAuthorityParts {
  readonly uplink: Pick<Uplink, 'newSvids'>;
  readonly trustDomain: TrustDomain;
  /** For entries without a type. */
  readonly x509SvidKeyType: SvidKeyType;
  readonly clock: Clock;
  readonly log: Log;
  /** Returns a number in [0, 1). */
  readonly random?: () => number;
}

interface Job {
  readonly request: SvidRequest;
  readonly resolve: (svid: X509Svid) => void;
  readonly reject: (error: unknown) => void;
}

/** The server takes so many at once. */
const AT_ONCE = 500;

export class RemoteAuthority implements SvidAuthority {
  readonly #parts: RemoteAuthorityParts;
  readonly #keyPairs = new KeyPairs();
  readonly #bundleChange: Listeners<TrustBundle>;
  readonly #replaced: Listeners<void>;
  #bundle: TrustBundle;
  /** The authority that signs now; undefined: not known. */
  #signing: string | undefined;
  #tainted: ReadonlySet<string> = new Set();
  #queue: Job[] = [];

  constructor(parts: RemoteAuthorityParts) {
    this.#parts = parts;
    const { trustDomain, log } = parts;
    this.#bundle = makeTrustBundle({ trustDomain, roots: [], sequenceNumber: 0, refreshHint: undefined });
    const failed = (err: unknown) => log.error({ err }, 'a listener of the authority threw an error');
    this.#bundleChange = new Listeners(failed);
    this.#replaced = new Listeners(failed);
  }

  close(): void {
    this.#keyPairs.close();
    for (const { reject } of this.#queue.splice(0)) reject(new SidekeyError('ERR_CA', 'the agent is stopping'));
    this.#bundleChange.clear();
    this.#replaced.clear();
  }

  issue(request: SvidRequest): Promise<X509Svid> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, resolve, reject });
      if (this.#queue.length === 1) void this.#sendSoon();
    });
  }

  isSlow(keyType: SvidRequest['keyType']): boolean {
    return this.#typeOf(keyType).startsWith('rsa');
  }

  signs(authorityId: string): boolean {
    return this.#signing === undefined ? !this.#tainted.has(authorityId) : authorityId === this.#signing;
  }

  bundle(): TrustBundle {
    return this.#bundle;
  }

  onBundleChange(listener: (bundle: TrustBundle) => void): () => void {
    return this.#bundleChange.add(listener);
  }

  onReplaced(listener: () => void): () => void {
    return this.#replaced.add(listener);
  }

  setBundle(bundle: TrustBundle): void {
    this.#bundle = bundle;
    this.#bundleChange.tell(bundle);
  }

  /** @param signing undefined: not known @param tainted authorities whose SVIDs must be replaced */
  setAuthorities(signing: string | undefined, tainted: readonly string[]): void {
    const isNew = tainted.some((id) => !this.#tainted.has(id));
    this.#signing = signing;
    this.#tainted = new Set(tainted);
    // A server that says who signs says also when all must be replaced.
    if (isNew && signing === undefined) this.replaceAll();
  }

  /** All SVIDs that were issued before are replaced. */
  replaceAll(): void {
    this.#replaced.tell();
  }

  async #sendSoon(): Promise<void> {
    await nextTurn();
    const jobs = this.#queue.splice(0);
    for (let at = 0; at < jobs.length; at += AT_ONCE) void this.#send(jobs.slice(at, at + AT_ONCE));
  }

  async #send(jobs: readonly Job[]): Promise<void> {
    try {
      const made = await Promise.all(jobs.map(({ request }) => this.#prepare(request)));
      const requests = made.map(({ csr }, at) => ({ entryId: jobs[at]!.request.entryId, csr }));
      const answers = await this.#parts.uplink.newSvids(requests);
      for (const [at, job] of jobs.entries()) this.#finish(job, made[at]!.keyPair, answers[at]);
    } catch (error) {
      for (const { reject } of jobs) reject(error);
    }
  }

  async #prepare({ spiffeId, keyType, replacesUntil }: SvidRequest): Promise<{ keyPair: KeyPair; csr: Buffer }> {
    const keyPair = await this.#keyPairs.make(this.#typeOf(keyType), replacesUntil);
    return { keyPair, csr: await makeCsr(keyPair, { spiffeId }) };
  }

  #finish(
    { request, resolve, reject }: Job,
    keyPair: KeyPair,
    answer: Awaited<ReturnType<Uplink['newSvids']>>[number] | undefined,
  ): void {
    const { clock, random = Math.random } = this.#parts;
    if (answer === undefined) reject(new SidekeyError('ERR_CA', 'the server gave no answer for one of the SVIDs'));
    else if ('fault' in answer) reject(answer.fault);
    else {
      try {
        const { certificates } = answer;
        const roots = this.#bundle.x509Authorities;
        resolve(receivedSvid({ request, keyPair, certificates, roots, now: clock.now(), random }));
      } catch (error) {
        reject(error);
      }
    }
  }

  #typeOf(keyType: SvidRequest['keyType']): SvidKeyType {
    return keyType === '' ? this.#parts.x509SvidKeyType : keyType;
  }
}
