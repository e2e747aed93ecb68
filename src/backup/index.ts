/** Backups: the archive with its files, its reader and writer, and its encryption. */

export { AUTHORITIES, DATABASE, MAX_DATABASE, type Manifest, TOKEN } from './contents.ts';
export {
  AGE_INTRO,
  type DecryptWith,
  decrypt,
  type EncryptFor,
  encrypt,
  isIdentity,
  isRecipient,
} from './encryption.ts';
export { BackupError, readBackup } from './read.ts';
export { type BackupContents, writeBackup } from './write.ts';
