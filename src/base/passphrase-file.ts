/** Reads the file with the passphrase that encrypts the authorities' keys. */

import { readTrustedFileNow } from './trusted-file.ts';

/**
 * The lengths of a passphrase. Whoever has a copy of the data directory can try passphrases without a limit, so short
 * ones are refused. OpenSSL reads no more than the maximum from a file.
 */
const LEAST = 20;
const MOST = 1000;

export const PASSPHRASE_RULE = `it contains one line of ${LEAST} to ${MOST} visible ASCII characters or spaces, as openssl rand -base64 33 makes one; whoever has a copy of the keys could guess a shorter one`;

/**
 * The passphrase, without the final line feed.
 * @throws Error if the file can't be read, is open to others, could be replaced by another user, or breaks the rule.
 * The
 * message has the file and never its content
 */
export function readPassphraseFile(file: string): string {
  const remedy = 'write a new passphrase to a new file of mode 0600, and change to it';
  const passphrase = readTrustedFileNow(file, { closed: true, remedy }).replace(/\n$/, '');
  if (/[^\x20-\x7e]/.test(passphrase)) {
    throw new Error('it has several lines, a carriage return, or other characters than visible ASCII');
  }
  if (passphrase.length < LEAST) throw new Error(`its passphrase has only ${passphrase.length} characters`);
  if (passphrase.length > MOST) throw new Error(`its passphrase has ${passphrase.length} characters`);
  return passphrase;
}
