/**
 * A bundle under which no certificate is good, to take trust away from a proxy: Envoy acknowledges the removal of a
 * validation context and goes on with the former one, and the state-of-the-world variant has no removals at all.
 */

import type { X509Certificate } from 'node:crypto';
import { EPOCH_TRUST_DOMAIN, makeTrustBundle, type TrustBundle } from '../spiffe/index.ts';

export class Nobody {
  readonly #make: () => Promise<X509Certificate>;
  #made: Promise<TrustBundle> | undefined;
  #bundle: TrustBundle | undefined;

  /** @param make creates the certificate of a CA whose key is thrown away */
  constructor(make: () => Promise<X509Certificate>) {
    this.#make = make;
  }

  /** Undefined until it is made. */
  get bundle(): TrustBundle | undefined {
    return this.#bundle;
  }

  /** Makes it at the first call. */
  async prepare(): Promise<void> {
    this.#made ??= this.#make().then((root) =>
      makeTrustBundle({ trustDomain: EPOCH_TRUST_DOMAIN, roots: [root], sequenceNumber: 1, refreshHint: undefined }),
    );
    try {
      this.#bundle = await this.#made;
    } catch (thrown) {
      this.#made = undefined;
      throw thrown;
    }
  }
}
