/** Reads the files that the settings name, according to the rules. */

import { AdminToken, listenAddress } from '../admin/index.ts';
import { PASSPHRASE_RULE, readPassphraseFile, SidekeyError } from '../base/index.ts';
import type { Passphrases } from '../ca/index.ts';
import type { ServeConfig } from '../config/index.ts';
import type { DeclaredEntries } from '../entries-file/index.ts';
import type { EntryRules } from '../registry/index.ts';
import { readDeclared } from './declared-entries.ts';

export function entryRulesOf({ trustDomain, allowWeakSelectors }: ServeConfig): EntryRules {
  return { trustDomain, allowWeakSelectors };
}

export interface Inputs {
  /** From the `--entries` file. */
  readonly declared: DeclaredEntries | undefined;
  /** From the `--admin-token-file`. */
  readonly givenToken: AdminToken | undefined;
  readonly passphrases: Passphrases;
}

/** Reads the files before the start creates anything. */
export async function readInputs(config: ServeConfig, rules: EntryRules): Promise<Inputs> {
  const { adminListen, adminInsecureListen, adminTokenFile, entries } = config;
  if (adminListen !== undefined) await listenAddress({ ...adminListen, insecure: adminInsecureListen });
  return {
    givenToken: adminTokenFile === undefined ? undefined : await AdminToken.ofFile(adminTokenFile),
    declared: entries === undefined ? undefined : await readDeclared(entries, rules),
    passphrases: {
      passphrase: passphraseOf('--key-passphrase-file', config.keyPassphraseFile),
      oldPassphrase: passphraseOf('--old-key-passphrase-file', config.oldKeyPassphraseFile),
    },
  };
}

/** @throws ERR_CONFIG */
function passphraseOf(flag: string, file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readPassphraseFile(file);
  } catch (thrown) {
    const problem = `${file}: ${(thrown as Error).message}`;
    throw SidekeyError.badInput([{ path: flag, problem, rule: PASSPHRASE_RULE }], 'ERR_CONFIG');
  }
}
