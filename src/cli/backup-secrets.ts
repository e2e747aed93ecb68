/** The recipients, identities and passphrases of backups, from flags, files and the terminal. */

import { type DecryptWith, type EncryptFor, isIdentity, isRecipient } from '../backup/index.ts';
import { PASSPHRASE_RULE, readPassphraseFile, readTrustedFile } from '../base/index.ts';
import type { BackupFlags, RestoreFlags } from './backup-flags.ts';
import { UsageError } from './errors.ts';
import { askSecretly, canAsk } from './prompt.ts';

/** Maximum number of recipients or identities. */
const MOST = 100;

/** Undefined: do not encrypt. @throws UsageError */
export async function readEncryption(flags: BackupFlags): Promise<EncryptFor | undefined> {
  const { recipient = [], recipientFile = [], passphraseFile, plain } = flags;
  const hasRecipients = recipient.length + recipientFile.length > 0;
  if (Number(hasRecipients) + Number(passphraseFile !== undefined) + Number(plain === true) > 1) {
    throw new UsageError('give either recipients (--recipient, --recipient-file), or --passphrase-file, or --plain');
  }
  if (plain === true) return undefined;
  if (passphraseFile !== undefined) return { passphrase: passphraseIn('--passphrase-file', passphraseFile) };
  if (!hasRecipients) return { passphrase: await newPassphrase() };
  const recipients = [...recipient];
  for (const one of recipient) await checkWord('--recipient', one, isRecipient, RECIPIENT);
  for (const file of recipientFile) {
    recipients.push(...(await wordsIn('--recipient-file', file, isRecipient, RECIPIENT, false)));
  }
  if (recipients.length > MOST) throw new UsageError(`there are ${recipients.length} recipients; at most ${MOST}`);
  return { recipients };
}

/** Undefined: the backup is not encrypted. @throws UsageError */
export async function readDecryption(flags: RestoreFlags): Promise<DecryptWith | undefined> {
  const { identityFile = [], passphraseFile, plain } = flags;
  if (Number(identityFile.length > 0) + Number(passphraseFile !== undefined) + Number(plain === true) > 1) {
    throw new UsageError('give either --identity-file, or --passphrase-file, or --plain');
  }
  if (plain === true) return undefined;
  if (passphraseFile !== undefined) return { passphrase: passphraseIn('--passphrase-file', passphraseFile) };
  if (identityFile.length === 0) return { passphrase: await ask('Passphrase of the backup: ', RESTORE_WAYS) };
  const identities: string[] = [];
  for (const file of identityFile) {
    identities.push(...(await wordsIn('--identity-file', file, isIdentity, IDENTITY, true)));
  }
  if (identities.length > MOST) throw new UsageError(`there are ${identities.length} identities; at most ${MOST}`);
  return { identities };
}

/** The passphrase in a file of a flag. @throws UsageError */
export function passphraseIn(flag: string, file: string): string {
  try {
    return readPassphraseFile(file);
  } catch (thrown) {
    throw new UsageError(`${flag}: ${file}: ${(thrown as Error).message}; ${PASSPHRASE_RULE}`);
  }
}

const RECIPIENT = 'an age recipient (age1…, as age-keygen -y prints it; SSH keys are not supported)';
const IDENTITY = 'an age identity (AGE-SECRET-KEY-1…, as age-keygen prints it)';
const BACKUP_WAYS =
  'give --recipient, --recipient-file or --passphrase-file; or --plain, for a file without encryption';
const RESTORE_WAYS = 'give --identity-file or --passphrase-file; or --plain, if the backup is not encrypted';

async function newPassphrase(): Promise<string> {
  const passphrase = await ask('Passphrase for the backup: ', BACKUP_WAYS);
  if (!/^[\x20-\x7e]{20,1000}$/.test(passphrase)) {
    throw new UsageError('the passphrase must have 20 to 1000 visible ASCII characters or spaces: several words');
  }
  if ((await ask('The same again: ', BACKUP_WAYS)) !== passphrase) throw new UsageError('the two passphrases differ');
  return passphrase;
}

async function ask(question: string, ways: string): Promise<string> {
  if (!canAsk()) throw new UsageError(`there is no terminal to ask for a passphrase: ${ways}`);
  return askSecretly(question);
}

/** The lines of a file, without comments. */
async function wordsIn(
  flag: string,
  file: string,
  isValid: (word: string) => Promise<boolean>,
  what: string,
  closed: boolean,
): Promise<string[]> {
  let text: string;
  try {
    // Whoever can write the recipients can read every backup.
    const remedy = 'put it into a file that only you can write';
    text = await readTrustedFile(file, { closed, remedy });
  } catch (thrown) {
    throw new UsageError(`${flag}: ${(thrown as Error).message}`);
  }
  const words: string[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    const word = line.trim();
    if (word === '' || word.startsWith('#')) continue;
    await checkWord(`${flag}: ${file}, line ${i + 1}`, word, isValid, what);
    words.push(word);
  }
  if (words.length === 0) throw new UsageError(`${flag}: ${file} has no line with ${what}`);
  return words;
}

/** The message does not have the word, which may be a secret in the wrong place. */
async function checkWord(
  place: string,
  word: string,
  isValid: (word: string) => Promise<boolean>,
  what: string,
): Promise<void> {
  if (!(await isValid(word))) throw new UsageError(`${place}: this is not ${what}`);
}
