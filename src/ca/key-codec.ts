/**
 * The form of private keys in files: encrypted with the passphrase, or in clear without one. Both can be read, and so
 * can keys that are still encrypted with the previous passphrase.
 */

import { createPrivateKey, type KeyObject } from 'node:crypto';
import { KeyCipher } from './key-cipher.ts';
import { pemBlocks } from './pem.ts';

/** The passphrases, or undefined for keys in clear. */
export interface Passphrases {
  /** From `--key-passphrase-file`. */
  readonly passphrase?: string | undefined;
  /** From `--old-key-passphrase-file`. */
  readonly oldPassphrase?: string | undefined;
}

export interface ReadPrivateKey {
  readonly key: KeyObject;
  /** True if the file has the key in the form that {@link KeyCodec.write} writes. */
  readonly isCurrent: boolean;
}

/**
 * A key cannot be decrypted with the given passphrases. The message completes a sentence that begins with the file's
 * name.
 */
export class PassphraseError extends Error {
  readonly remedy: string;

  constructor(problem: string, remedy: string) {
    super(problem);
    this.name = 'PassphraseError';
    this.remedy = remedy;
  }
}

export class KeyCodec {
  readonly #cipher: KeyCipher | undefined;
  readonly #old: KeyCipher | undefined;

  constructor({ passphrase, oldPassphrase }: Passphrases = {}) {
    this.#cipher = passphrase === undefined ? undefined : new KeyCipher(passphrase);
    this.#old = oldPassphrase === undefined ? undefined : new KeyCipher(oldPassphrase);
  }

  /** Keys are encrypted. */
  get encrypts(): boolean {
    return this.#cipher !== undefined;
  }

  /**
   * Reads the only private key of a PEM file.
   * @throws {Error} whose message completes a sentence that begins with the file's name; {@link PassphraseError}
   */
  async read(text: string): Promise<ReadPrivateKey> {
    const [plain, ...morePlain] = pemBlocks(text, 'PRIVATE KEY');
    const [encrypted, ...moreEncrypted] = pemBlocks(text, 'ENCRYPTED PRIVATE KEY');
    const isOne = (plain === undefined) !== (encrypted === undefined);
    if (!isOne || morePlain.length + moreEncrypted.length > 0) {
      throw new Error('does not contain exactly one private key');
    }
    if (encrypted !== undefined) return this.#decrypt(encrypted);
    try {
      return { key: createPrivateKey(plain!), isCurrent: !this.encrypts };
    } catch (cause) {
      throw new Error('contains a private key that cannot be read', { cause });
    }
  }

  /** The key as one PEM block. */
  async write(key: KeyObject): Promise<string> {
    return this.#cipher?.encrypt(key) ?? (key.export({ format: 'pem', type: 'pkcs8' }) as string);
  }

  async #decrypt(block: string): Promise<ReadPrivateKey> {
    const [cipher, old] = [this.#cipher, this.#old];
    if (cipher === undefined && old === undefined) {
      throw new PassphraseError('is encrypted', 'give the file with its passphrase: --key-passphrase-file FILE');
    }
    for (const [one, isCurrent] of [
      [cipher, true],
      [old, false],
    ] as const) {
      // A wrong passphrase may decrypt to random bytes. These are hardly ever a key, which then would not match the
      // certificate.
      const key = await one?.decrypt(block).catch(() => undefined);
      if (key !== undefined) return { key, isCurrent };
    }
    const flags = ['--key-passphrase-file', '--old-key-passphrase-file'].filter(
      (_, i) => [cipher, old][i] !== undefined,
    );
    throw new PassphraseError(
      `is encrypted with another passphrase than that of ${flags.join(' or ')}, or is damaged`,
      old === undefined
        ? 'give the passphrase that it was encrypted with; to change the passphrase, give the old one as --old-key-passphrase-file. Restore a damaged file from a backup'
        : 'give the passphrase that it was encrypted with. Restore a damaged file from a backup',
    );
  }
}
