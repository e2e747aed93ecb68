/** Makes the keys of SVIDs, of each type: for certificates that this process or another server signs. */

import type { SvidKeyType } from '../spiffe/index.ts';
import { generateEcKeyPair, type KeyPair } from './key-pair.ts';
import { RsaKeys } from './rsa-keys.ts';

export class KeyPairs {
  readonly #rsaKeys = new RsaKeys();

  /**
   * A new key.
   * @param neededBy when it is needed, in milliseconds since the epoch; 0: at once. The earliest request gets the next RSA key
   * @throws ERR_CA if an RSA key can't be made
   */
  async make(type: SvidKeyType, neededBy = 0): Promise<KeyPair> {
    return type === 'rsa-2048' ? this.#rsaKeys.take(neededBy) : generateEcKeyPair();
  }

  /** Rejects requests for RSA keys. */
  close(): void {
    this.#rsaKeys.close();
  }
}
