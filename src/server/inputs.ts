/** Reads the files that the settings name, according to the rules. */

import { type AdminTls, AdminToken, listenAddress, openAdminTls } from '../admin/index.ts';
import { PASSPHRASE_RULE, readPassphraseFile, SidekeyError } from '../base/index.ts';
import type { Passphrases } from '../ca/index.ts';
import type { HostPort, ServeConfig } from '../config/index.ts';
import type { DeclaredEntries } from '../entries-file/index.ts';
import type { EntryRules } from '../registry/index.ts';
import { readDeclared } from './declared-entries.ts';

export function entryRulesOf({ trustDomain, allowWeakSelectors, agentListen }: ServeConfig): EntryRules {
  return { trustDomain, allowWeakSelectors, hasAgents: agentListen !== undefined };
}

export interface Inputs {
  /** From the `--entries` file. */
  readonly declared: DeclaredEntries | undefined;
  /** From the `--admin-token-file`. */
  readonly givenToken: AdminToken | undefined;
  /** From `--admin-tls-cert` and `--admin-tls-key`. */
  readonly tls: AdminTls | undefined;
  readonly passphrases: Passphrases;
}

/** Reads the files before the start creates anything. */
export async function readInputs(config: ServeConfig, rules: EntryRules): Promise<Inputs> {
  const { adminListen, adminTokenFile, adminTlsCert, adminTlsKey, entries } = config;
  if (adminListen !== undefined) await listenAddress(tcpListenOf(config, adminListen));
  return {
    givenToken: adminTokenFile === undefined ? undefined : await AdminToken.ofFile(adminTokenFile),
    declared: entries === undefined ? undefined : await readDeclared(entries, rules),
    tls:
      adminTlsCert === undefined || adminTlsKey === undefined
        ? undefined
        : await openAdminTls({ cert: adminTlsCert, key: adminTlsKey }),
    passphrases: {
      passphrase: passphraseOf('--key-passphrase-file', config.keyPassphraseFile),
      oldPassphrase: passphraseOf('--old-key-passphrase-file', config.oldKeyPassphraseFile),
    },
  };
}

/** The TCP address of the admin API, and whether it may be beyond loopback. */
export function tcpListenOf({ adminInsecureListen, adminTlsCert }: ServeConfig, { host, port }: HostPort) {
  return { host, port, beyondLoopback: adminInsecureListen || adminTlsCert !== undefined };
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
