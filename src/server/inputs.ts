/** Reads the files that the settings name, according to the rules. */

import { AdminToken, listenAddress } from '../admin/index.ts';
import { PASSPHRASE_RULE, readPassphraseFile, SidekeyError } from '../base/index.ts';
import type { Passphrases } from '../ca/index.ts';
import type { HostPort, ServeConfig } from '../config/index.ts';
import type { DeclaredEntries } from '../entries-file/index.ts';
import { type CertificateFiles, openCertificateFiles } from '../https/index.ts';
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
  readonly tls: CertificateFiles | undefined;
  /** The certificate of the bundle endpoint; undefined: it has none from files. */
  readonly endpointTls: CertificateFiles | undefined;
  readonly passphrases: Passphrases;
}

const ENDPOINT_TLS = {
  listener: 'the bundle endpoint',
  certFlag: '--federation-cert-file',
  keyFlag: '--federation-key-file',
};
const ADMIN_TLS = { listener: 'the admin API', certFlag: '--admin-tls-cert', keyFlag: '--admin-tls-key' };

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
        : await openCertificateFiles({ cert: adminTlsCert, key: adminTlsKey }, ADMIN_TLS),
    endpointTls:
      config.federationCertFile === undefined || config.federationKeyFile === undefined
        ? undefined
        : await openCertificateFiles({ cert: config.federationCertFile, key: config.federationKeyFile }, ENDPOINT_TLS),
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
