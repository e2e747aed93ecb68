/** Reads the files that the settings name, according to the rules. */

import { listenAddress } from '../admin/tcp.ts';
import { AdminToken } from '../admin/token.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import type { DeclaredEntries } from '../registry/entries-file.ts';
import type { EntryRules } from '../registry/types.ts';
import { readDeclared } from './declared-entries.ts';

export function entryRulesOf({ trustDomain, allowWeakSelectors }: ServeConfig): EntryRules {
  return { trustDomain, allowWeakSelectors };
}

export interface Inputs {
  /** From the `--entries` file. */
  readonly declared: DeclaredEntries | undefined;
  /** From the `--admin-token-file`. */
  readonly givenToken: AdminToken | undefined;
}

/** Reads the files before the start creates anything. */
export async function readInputs(config: ServeConfig, rules: EntryRules): Promise<Inputs> {
  const { adminListen, adminInsecureListen, adminTokenFile, entries } = config;
  if (adminListen !== undefined) await listenAddress({ ...adminListen, insecure: adminInsecureListen });
  return {
    givenToken: adminTokenFile === undefined ? undefined : await AdminToken.ofFile(adminTokenFile),
    declared: entries === undefined ? undefined : await readDeclared(entries, rules),
  };
}
