/** The flags of `sidekey backup` and `sidekey restore`. */

import type { OutputFormat } from './output.ts';
import type { ClientOptions } from './target.ts';

export interface BackupFlags extends ClientOptions {
  readonly recipient?: readonly string[];
  readonly recipientFile?: readonly string[];
  readonly passphraseFile?: string;
  readonly plain?: true;
}

export interface RestoreFlags {
  readonly dataDir?: string;
  readonly replace?: true;
  readonly check?: true;
  readonly identityFile?: readonly string[];
  readonly passphraseFile?: string;
  readonly plain?: true;
  readonly trustDomain?: string;
  readonly keyPassphraseFile?: string;
  readonly oldKeyPassphraseFile?: string;
  readonly taint?: readonly string[];
  readonly output: OutputFormat;
}
