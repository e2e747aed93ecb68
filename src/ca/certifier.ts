/**
 * Certifies keys that their holders keep, in batches. Keys and signatures of the requests are checked in the thread pool;
 * a batch is signed in slices, and recorded in one write before any of its SVIDs is handed out.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type IssuanceRecord, isValidAt, SidekeyError } from '../base/index.ts';
import type { Authorities } from './authorities.ts';
import { checkCertificate } from './check.ts';
import { CsrError, keyOfCsr } from './csr.ts';
import { type LeafKey, LeafWriter } from './leaf.ts';
import type { Signer } from './signer.ts';
import { SvidTerms, type SvidTermsOptions } from './svid-terms.ts';
import type { Certified, CertifiedSvid, CsrRequest, IssuanceLog } from './types.ts';

export interface CertifierOptions extends Omit<SvidTermsOptions, 'random' | 'x509SvidKeyType'> {
  readonly authorities: Pick<Authorities, 'signer'>;
  readonly issuanceLog: IssuanceLog;
}

/** Number of requests whose keys are read, or which are signed, in one turn of the event loop. */
const AT_ONCE = 32;

interface Order {
  readonly request: CsrRequest;
  readonly key: LeafKey;
}

export class Certifier {
  readonly #options: CertifierOptions;
  readonly #terms: SvidTerms;
  #writer: LeafWriter | undefined;

  constructor(options: CertifierOptions) {
    this.#options = options;
    // No key is made and no renewal planned here.
    this.#terms = new SvidTerms({ ...options, x509SvidKeyType: 'ec-p256', random: () => 0 });
  }

  /** @throws ERR_STORE */
  async certify(requests: readonly CsrRequest[]): Promise<Certified[]> {
    const keys = await inSlices(requests, ({ csr }) => attempt(() => keyOfCsr(csr)));
    const results = await this.#sign(requests, keys);
    await this.#record(requests, results);
    const now = this.#options.clock.now();
    return results.map((result) => {
      if ('fault' in result || isValidAt(result.svid, now)) return result;
      return { fault: new SidekeyError('ERR_CA', 'the clock jumped while the issuance was recorded') };
    });
  }

  /** Signs everything under one authority: one that was tainted meanwhile signs nothing that is recorded. */
  async #sign(
    requests: readonly CsrRequest[],
    keys: readonly (LeafKey | CsrError | SidekeyError)[],
  ): Promise<Certified[]> {
    for (;;) {
      const signer = await this.#signer();
      if (signer instanceof SidekeyError) {
        return keys.map((key) => ({ fault: key instanceof Error ? key : signer }));
      }
      if (this.#writer?.signer !== signer) this.#writer = new LeafWriter(signer);
      const writer = this.#writer;
      let hasChecked = false;
      const results = await inSlices(requests, async (request, at): Promise<Certified> => {
        const key = keys[at]!;
        if (key instanceof Error) return { fault: key };
        const isSample = !hasChecked;
        hasChecked = true;
        const svid = await attempt(() => this.#certifyOne(writer, { request, key }, isSample));
        return svid instanceof Error ? { fault: svid } : { svid };
      });
      const present = await this.#signer();
      if (present === signer || (!(present instanceof SidekeyError) && present.id === signer.id)) return results;
    }
  }

  async #signer(): Promise<Signer | SidekeyError> {
    try {
      return await this.#options.authorities.signer();
    } catch (error) {
      return SidekeyError.from(error, 'ERR_CA');
    }
  }

  async #certifyOne(writer: LeafWriter, { request, key }: Order, withOpenSsl: boolean): Promise<CertifiedSvid> {
    const { signer } = writer;
    const terms = this.#terms.terms(request, signer);
    const draft = writer.draft(terms, key);
    const leaf = await writer.certify(draft);
    checkCertificate(leaf, draft, terms, signer, withOpenSsl);
    const { serial, notBefore, notAfter } = draft;
    const certificates = [leaf, signer.certificate.raw, ...signer.above.map(({ raw }) => raw)];
    return { spiffeId: request.spiffeId, certificates, serial, authorityId: signer.id, notBefore, notAfter };
  }

  /** @throws ERR_STORE; then none of them is on record, and none may leave */
  async #record(requests: readonly CsrRequest[], results: readonly Certified[]): Promise<void> {
    const { issuanceLog, clock } = this.#options;
    const issuedAt = clock.now();
    const records = results.flatMap((result, at): IssuanceRecord[] => {
      if ('fault' in result) return [];
      const { serial, spiffeId, authorityId, notBefore, notAfter } = result.svid;
      const { entryId } = requests[at]!;
      return [{ kind: 'x509', serial, spiffeId, entryId, authorityId, notBefore, notAfter, issuedAt }];
    });
    if (records.length === 0) return;
    try {
      await issuanceLog.recordIssuances(records);
    } catch (error) {
      throw SidekeyError.from(error, 'ERR_STORE', 'the issuances could not be recorded');
    }
  }
}

async function attempt<T>(work: () => Promise<T>): Promise<T | CsrError | SidekeyError> {
  try {
    return await work();
  } catch (error) {
    return error instanceof CsrError ? error : SidekeyError.from(error, 'ERR_CA');
  }
}

/** The results in the given order. */
async function inSlices<T, Result>(
  all: readonly T[],
  work: (one: T, at: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let from = 0; from < all.length; from += AT_ONCE) {
    if (from > 0) await nextTurn();
    results.push(...(await Promise.all(all.slice(from, from + AT_ONCE).map((one, at) => work(one, from + at)))));
  }
  return results;
}
