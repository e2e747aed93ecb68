/**
 * Makes the RSA keys of SVIDs. One takes as long as hundreds of P-256 SVIDs, so a few threads make them one after the
 * other, and delay nothing else. A few are made in advance, so that a single SVID need not wait.
 */

import { availableParallelism } from 'node:os';
import { SidekeyError } from '../base/index.ts';
import { generateRsaKeyPair, type RsaKeyPair } from './key-pair.ts';

interface Waiting {
  readonly neededBy: number;
  readonly resolve: (keyPair: RsaKeyPair) => void;
  readonly reject: (error: unknown) => void;
}

/** At most half of the processors work on keys, and half of the thread pool, which has eight threads. */
const AT_ONCE = Math.max(1, Math.min(4, Math.floor(availableParallelism() / 2)));
/** The number of keys made in advance, after the first request. */
const IN_ADVANCE = 8;

export class RsaKeys {
  readonly #generate: () => Promise<RsaKeyPair>;
  #waiting: Waiting[] = [];
  readonly #ready: RsaKeyPair[] = [];
  #making = 0;
  #closed = false;

  /** @param generate for tests */
  constructor(generate: () => Promise<RsaKeyPair> = generateRsaKeyPair) {
    this.#generate = generate;
  }

  /**
   * A new key. If several requests wait, the one with the earliest `neededBy` gets the next key, so that frequent
   * requests do not delay SVIDs that expire sooner.
   * @param neededBy when the key is needed, in milliseconds since the epoch; 0: at once
   * @throws ERR_CA if this is closed or no key can be made
   */
  take(neededBy: number): Promise<RsaKeyPair> {
    const ready = this.#closed ? undefined : this.#ready.pop();
    const taken =
      ready === undefined
        ? new Promise<RsaKeyPair>((resolve, reject) => this.#waiting.push({ neededBy, resolve, reject }))
        : Promise.resolve(ready);
    this.#makeSome();
    return taken;
  }

  /** Rejects all waiting requests. Keys that are being made are discarded. */
  close(): void {
    this.#closed = true;
    this.#ready.length = 0;
    this.#makeSome();
  }

  #makeSome(): void {
    if (this.#closed) {
      for (const { reject } of this.#waiting.splice(0)) reject(new SidekeyError('ERR_CA', 'the authority is closed'));
      return;
    }
    while (this.#making < AT_ONCE && this.#making < this.#waiting.length + IN_ADVANCE - this.#ready.length) {
      this.#making += 1;
      void this.#make();
    }
  }

  async #make(): Promise<void> {
    try {
      const keyPair = await this.#generate();
      if (this.#closed) return;
      const next = this.#next();
      if (next === undefined) this.#ready.push(keyPair);
      else next.resolve(keyPair);
    } catch (error) {
      // If no request waits, the next request tries again.
      this.#next()?.reject(SidekeyError.from(error, 'ERR_CA', `no RSA key could be made: ${(error as Error).message}`));
      if (this.#waiting.length === 0) return;
    } finally {
      this.#making -= 1;
    }
    this.#makeSome();
  }

  /** Removes the request with the earliest `neededBy`; of equal ones the oldest. */
  #next(): Waiting | undefined {
    if (this.#waiting.length === 0) return undefined;
    let first = 0;
    for (let at = 1; at < this.#waiting.length; at += 1) {
      if (this.#waiting[at]!.neededBy < this.#waiting[first]!.neededBy) first = at;
    }
    return this.#waiting.splice(first, 1)[0];
  }
}
