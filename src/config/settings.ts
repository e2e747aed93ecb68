/**
 * The settings of `sidekey serve`, in one table: flags, environment variables, YAML keys, `--help` and the messages
 * all come from it.
 */

import { ATTESTOR_SETTINGS, type AttestorSetting, type AttestorSettings } from '../attest/index.ts';
import type { UpstreamSettings } from '../ca/index.ts';
import { AUTHORITY_KEY_TYPES, SPIRE_NAMES, SVID_KEY_TYPES } from '../spiffe/index.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../telemetry/index.ts';
import { adminSocketIn, defaultDataDir, defaultSocket, type Surroundings } from './default-paths.ts';
import type { SettingKind } from './kinds.ts';
import * as kinds from './kinds.ts';
import type { ServeConfig } from './serve-config.ts';

/** The name of a setting, which is its key in the YAML file. */
export type SettingKey = keyof ServeConfig;

export interface Setting<T> {
  /** The description in `--help`. */
  readonly about: string;
  readonly kind: SettingKind<NonNullable<T>>;
  /** The default. */
  readonly fallback?: Fallback;
  /** Whether it may stay unset. */
  readonly optional?: true;
}

export interface Fallback {
  /**
   * The default as a user would write it; undefined if it can't be determined from the environment and earlier
   * settings.
   */
  text(surroundings: Surroundings, settled: Readonly<Record<string, unknown>>): string | undefined;
  /** The setting that the default depends on; if that has no value, only its fault is reported. */
  readonly from?: string;
  /** The default in `--help`. */
  readonly words: string;
  /** The variable without which it can't be determined. */
  readonly needs?: string;
}

/** The settings of a command. */
export interface SettingsTable {
  /** Such as `serve`. */
  readonly command: string;
  readonly settings: Readonly<Record<string, Setting<unknown>>>;
}

export const fixed = (text: string): Fallback => ({ text: () => text, words: text });
export const off = { kind: kinds.toggle, fallback: fixed('false') } as const;

/** The kinds of values of attestors' settings. */
const ATTESTOR_KINDS: { readonly [K in AttestorSetting['kind']]: SettingKind<string> } = {
  socket: kinds.socket,
};

/** See docs/upstreams.md. `upstream-rules.ts` says which of them belong together. */
const UPSTREAM_SETTINGS: { readonly [K in keyof UpstreamSettings]: Setting<UpstreamSettings[K]> } = {
  upstream: {
    about:
      'what signs the intermediates: an own root (self), files (disk), Vault or OpenBao (vault), a program (command)',
    kind: kinds.choice('self', 'disk', 'vault', 'command'),
    fallback: fixed('self'),
  },
  offlineRoot: {
    about: 'the key of the own root is kept offline: sign the requests there, then run sidekey ca import',
    ...off,
  },
  upstreamTimeout: {
    about: 'how long a request to Vault or the program may take',
    kind: kinds.duration('1s', '10m'),
    fallback: fixed('60s'),
  },
  upstreamBundleFile: {
    about: 'PEM file with the roots of the trust domain, if the upstream does not give them',
    kind: kinds.file,
    optional: true,
  },
  upstreamCertFile: {
    about: 'PEM file with the certificate that signs the intermediates, and those above it',
    kind: kinds.file,
    optional: true,
  },
  upstreamKeyFile: {
    about: 'PEM file with the key of that certificate: EC or RSA, not encrypted',
    kind: kinds.file,
    optional: true,
  },
  upstreamCommand: {
    about: 'program that reads a CSR and prints certificates, by its absolute path; repeat the flag for each argument',
    kind: kinds.program,
  },
  vaultAddr: {
    about: 'URL of Vault or OpenBao; http only to this host',
    kind: kinds.vaultUrl,
    optional: true,
  },
  vaultMount: { about: 'path of the PKI engine (default: pki)', kind: kinds.vaultPath, optional: true },
  vaultNamespace: { about: 'namespace of Vault or OpenBao', kind: kinds.vaultPath, optional: true },
  vaultCaFile: {
    about: "PEM file with the CA of Vault's TLS certificate; by default the public CAs that Node includes",
    kind: kinds.file,
    optional: true,
  },
  vaultTokenFile: { about: 'file with a token', kind: kinds.file, optional: true },
  vaultApproleRoleIdFile: { about: 'file with the role ID of an AppRole', kind: kinds.file, optional: true },
  vaultApproleSecretIdFile: { about: 'file with its secret ID', kind: kinds.file, optional: true },
  vaultApproleMount: { about: 'path of the AppRole method (default: approle)', kind: kinds.vaultPath, optional: true },
};

export const SETTINGS: { readonly [K in SettingKey]: Setting<ServeConfig[K]> } = {
  config: { about: 'YAML file with any of these settings', kind: kinds.file, optional: true },
  trustDomain: { about: 'trust domain of the identities, such as example.org', kind: kinds.trustDomain },
  dataDir: {
    about: 'directory for keys and database, accessible only for its owner (0700)',
    kind: kinds.directory,
    fallback: { text: defaultDataDir, words: '/var/lib/sidekey as root, else $XDG_STATE_HOME/sidekey', needs: 'HOME' },
  },
  socket: {
    about: 'the pipe: Unix socket on which Envoys ask for their secrets',
    kind: kinds.socket,
    fallback: {
      text: defaultSocket,
      words: '/run/sidekey/agent.sock as root, else $XDG_RUNTIME_DIR/sidekey/agent.sock',
      needs: 'XDG_RUNTIME_DIR',
    },
  },
  adminSocket: {
    about: "Unix socket of the admin API, for the server's user and root; may not be in or below the pipe's directory",
    kind: kinds.socket,
    fallback: {
      text: (_surroundings, { dataDir }) => (typeof dataDir === 'string' ? adminSocketIn(dataDir) : undefined),
      words: 'admin.sock in the data directory',
      from: 'dataDir',
    },
  },
  socketMode: { about: 'mode of the pipe', kind: kinds.mode, fallback: fixed('0660') },
  socketGroup: { about: 'group of the pipe, by name or number', kind: kinds.group, optional: true },
  adminListen: {
    about: 'serve the admin API on TCP as well; clients need a bearer token there',
    kind: kinds.hostPort,
    optional: true,
  },
  adminTokenFile: {
    about: 'file with the token for the admin API on TCP, instead of admin.token in the data directory',
    kind: kinds.readableFile,
    optional: true,
  },
  adminHost: {
    about: 'further host name that clients of the admin API may use on TCP, besides the loopback names',
    kind: kinds.hosts,
  },
  adminInsecureListen: {
    about: 'allow --admin-listen beyond loopback, in clear text: confirms that something else protects it',
    ...off,
  },
  adminTlsCert: {
    about: 'PEM file with the TLS certificate for --admin-listen, then those above it; read again when it changes',
    kind: kinds.readableFile,
    optional: true,
  },
  adminTlsKey: {
    about: 'PEM file with the key of that certificate, not encrypted',
    kind: kinds.readableFile,
    optional: true,
  },
  adminMaxConnections: {
    about: 'maximum of connections to the admin API on its socket, and the same number on TCP',
    kind: kinds.count(4, 100_000),
    fallback: fixed('100'),
  },
  entries: {
    about:
      'file of entries, or folder of such files; at each start the entries that came from there are made equal to it',
    kind: kinds.readableFileOrFolder,
    optional: true,
  },
  watchEntries: { about: 'apply each change of the files of --entries while the server runs', ...off },
  ...ofAttestors(),
  allowContained: {
    about: 'give entries without a container selector to callers in containers too, and let these use the admin socket',
    ...off,
  },
  allowUnpinnedPeers: {
    about:
      'start on a kernel without SO_PEERPIDFD (before Linux 6.5): a process may be mistaken for an ended one of the same user',
    ...off,
  },
  allowWeakSelectors: { about: 'allow entries that have only path or hash selectors', ...off },
  newRoot: {
    about:
      'start even if the database or the authorities are missing, and create the missing part; without authorities that is a new root',
    ...off,
  },
  bundleFor: {
    about: 'callers that get the bundle: those that an entry matches (identified), or all on the pipe (anyone)',
    kind: kinds.choice('identified', 'anyone'),
    fallback: fixed('identified'),
  },
  workloadApiHold: {
    about: 'Workload API: let callers without an identity wait for one, instead of refusing them',
    ...off,
  },
  revocationEpoch: {
    about: 'with each revocation list, change the set of CAs so that Envoys resume no TLS session of a revoked peer',
    kind: kinds.toggle,
    fallback: fixed('true'),
  },
  disableSpiffeCertValidation: { about: "send plain trusted_ca instead of Envoy's SPIFFE validator", ...off },
  sdsDefaultName: {
    about: "SDS name of a caller's default identity",
    kind: kinds.sdsName,
    fallback: fixed(SPIRE_NAMES.default),
  },
  sdsBundleName: {
    about: 'SDS name of the bundle of the own trust domain',
    kind: kinds.sdsName,
    fallback: fixed(SPIRE_NAMES.bundle),
  },
  sdsAllBundlesName: {
    about: 'SDS name of own and federated bundles; ROOTCA, for Istio, gives them under the name of the own bundle',
    kind: kinds.sdsName,
    fallback: fixed(SPIRE_NAMES.allBundles),
  },
  x509SvidTtl: {
    about: 'lifetime of an X.509-SVID whose entry sets none',
    kind: kinds.duration('10s', '365d'),
    fallback: fixed('1h'),
  },
  x509SvidKeyType: {
    about: "type of an X.509-SVID's key if its entry sets none; RSA keys are slow to generate",
    kind: kinds.choice(...SVID_KEY_TYPES),
    fallback: fixed('ec-p256'),
  },
  caTtl: {
    about: 'lifetime of the intermediate that signs the SVIDs',
    kind: kinds.duration('1m', '3650d'),
    fallback: fixed('24h'),
  },
  rootTtl: {
    about: 'lifetime of a new root, which is replaced after half of it',
    kind: kinds.duration('10m', '7300d'),
    fallback: fixed('365d'),
  },
  rootPublishTime: {
    about: 'how long a new root is in the bundle before it signs, for proxies that are not connected',
    kind: kinds.duration('0s', '365d'),
    fallback: fixed('24h'),
  },
  rootAckTimeout: {
    about: 'how long proxies that have not acknowledged a new root delay it before rootAckPolicy applies',
    kind: kinds.duration('0s', '365d'),
    fallback: fixed('24h'),
  },
  rootAckPolicy: {
    about:
      'what happens after rootAckTimeout: wait for them until the old root must be replaced, or continue without them',
    kind: kinds.choice('wait', 'continue'),
    fallback: fixed('wait'),
  },
  caKeyType: {
    about: 'type of the keys of new roots and intermediates; existing ones keep their type',
    kind: kinds.choice(...AUTHORITY_KEY_TYPES),
    fallback: fixed('ec-p256'),
  },
  jwtSvidTtl: {
    about: 'lifetime of a JWT-SVID whose entry sets none',
    kind: kinds.duration('10s', '365d'),
    fallback: fixed('5m'),
  },
  jwtKeyType: {
    about: 'type of new JWT keys: their tokens have the algorithm ES256, ES384 or RS256',
    kind: kinds.choice(...AUTHORITY_KEY_TYPES),
    fallback: fixed('ec-p256'),
  },
  jwtKeyTtl: {
    about: 'lifetime of a JWT key: it is published for a third of it, signs for a third, and stays for its tokens',
    kind: kinds.duration('30s', '3650d'),
    fallback: fixed('24h'),
  },
  jwtPublishBefore: {
    about: 'how long a JWT key is published before it signs; more than the time for which any consumer caches the keys',
    kind: kinds.duration('0s', '365d'),
    fallback: fixed('15m'),
  },
  jwtIssuer: {
    about: 'URL that JWT-SVIDs have as their issuer (iss), exactly as it is written',
    kind: kinds.issuer,
    optional: true,
  },
  oidcListen: {
    about: 'serve OIDC discovery: the documents by which consumers find the keys of JWT-SVIDs; needs jwtIssuer',
    kind: kinds.hostPort,
    optional: true,
  },
  oidcCertFile: {
    about: 'PEM file with the TLS certificate of OIDC discovery; without one it listens on loopback only',
    kind: kinds.readableFile,
    optional: true,
  },
  oidcKeyFile: { about: 'PEM file with the key of that certificate', kind: kinds.readableFile, optional: true },
  federationAllow: {
    about:
      'network that is not public, such as 10.1.0.0/16, in which bundle endpoints of other trust domains may be; repeat for more',
    kind: kinds.networks,
  },
  federationMinRefresh: {
    about: 'shortest time between two polls of a bundle endpoint, whatever its refresh hint says',
    kind: kinds.duration('1s', '1h'),
    fallback: fixed('60s'),
  },
  federationListen: {
    about: 'serve the bundle endpoint, from which other trust domains fetch the bundle',
    kind: kinds.hostPort,
    optional: true,
  },
  federationProfile: {
    about:
      'how the bundle endpoint shows who it is: by an own SVID (https_spiffe), or by a certificate for its host name (https_web)',
    kind: kinds.choice('https_spiffe', 'https_web'),
    fallback: fixed('https_spiffe'),
  },
  federationSpiffeId: {
    about: 'SPIFFE ID of the bundle endpoint, below /sidekey or /spire, where no entry can be',
    kind: kinds.endpointId,
    fallback: {
      text: (_surroundings, { trustDomain }) =>
        trustDomain === undefined ? undefined : `spiffe://${trustDomain}/sidekey/server`,
      words: 'spiffe://TRUST_DOMAIN/sidekey/server',
      from: 'trustDomain',
    },
  },
  federationCertFile: {
    about: 'PEM file with the certificate of the bundle endpoint, then those above it; read again when it changes',
    kind: kinds.readableFile,
    optional: true,
  },
  federationKeyFile: {
    about: 'PEM file with the key of that certificate, not encrypted',
    kind: kinds.readableFile,
    optional: true,
  },
  federationRefreshHint: {
    about:
      'how often other trust domains should fetch the bundle; a new authority signs five times this after it was published',
    kind: kinds.duration('1s', '24h'),
    fallback: fixed('5m'),
  },
  federationPublishFile: {
    about: 'keep the bundle, as other trust domains fetch it, in this file, for a server or CDN that serves it',
    kind: kinds.file,
    optional: true,
  },
  agentListen: {
    about:
      'let agents of other hosts attach here (docs/hosts.md); an entry is then for the host that its parent_id names',
    kind: kinds.hostPort,
    optional: true,
  },
  agentX509popCa: {
    about: 'PEM file with the authorities whose certificates attest agents (x509pop)',
    kind: kinds.readableFile,
    optional: true,
  },
  agentTtl: {
    about: "lifetime of agents' own SVIDs; an agent renews its SVID at half of it",
    kind: kinds.duration('1m', '30d'),
    fallback: fixed('1h'),
  },
  maxJwtAudiences: {
    about: 'maximum of audiences of a JWT-SVID',
    kind: kinds.count(1, 128),
    fallback: fixed('32'),
  },
  maxJwtSvidsPerSecondPerId: {
    about: 'maximum of new JWT-SVIDs a second per SPIFFE ID; a cached one is not new',
    kind: kinds.count(1, 1_000_000),
    fallback: fixed('50'),
  },
  maxCachedJwtSvidsPerId: {
    about: 'maximum of cached JWT-SVIDs per SPIFFE ID',
    kind: kinds.count(0, 1_000_000),
    fallback: fixed('1000'),
  },
  keyPassphraseFile: {
    about: 'file with the passphrase that encrypts the keys of the authorities; outside the data directory',
    kind: kinds.readableFile,
    optional: true,
  },
  oldKeyPassphraseFile: {
    about:
      'file with the previous passphrase: its keys are encrypted again with that of keyPassphraseFile, or stored in clear without keyPassphraseFile',
    kind: kinds.readableFile,
    optional: true,
  },
  caSubject: {
    about: 'subject of root and intermediate certificates',
    kind: kinds.subject,
    fallback: fixed('O=SPIFFE'),
  },
  ...UPSTREAM_SETTINGS,
  auditKeep: {
    about: 'how long rows of the audit, and issuances after the end of their certificates, are kept',
    kind: kinds.duration('1h', '7300d'),
    fallback: fixed('90d'),
  },
  auditMaxSize: {
    about: 'size beyond which the oldest rows of the audit and expired issuances are removed',
    kind: kinds.size('1MiB', '1024GiB'),
    fallback: fixed('1GiB'),
  },
  maxConnectionsPerUid: {
    about: 'maximum of connections on the pipe per user or container',
    kind: kinds.count(1, 1_000_000),
    fallback: fixed('2000'),
  },
  maxStreamsPerUid: {
    about: 'maximum of streams on the pipe per user or container',
    kind: kinds.count(1, 1_000_000),
    fallback: fixed('20000'),
  },
  maxRequestsPerSecondPerUid: {
    about: 'maximum of requests a second on the pipe per user or container',
    kind: kinds.count(1, 1_000_000),
    fallback: fixed('20000'),
  },
  logLevel: {
    about: 'lowest level that is logged',
    kind: kinds.choice(...LOG_LEVELS),
    fallback: fixed('info'),
  },
  logFormat: {
    about: 'form of the log: JSON lines, or text for people; by default text on a terminal, else JSON',
    kind: kinds.choice(...LOG_FORMATS),
    optional: true,
  },
};

/** The attestors' settings, from their descriptions. */
function ofAttestors(): { readonly [K in keyof AttestorSettings]: Setting<AttestorSettings[K]> } {
  const rows = Object.entries(ATTESTOR_SETTINGS).map(([key, { about, kind }]) => [
    key,
    { about, kind: ATTESTOR_KINDS[kind], optional: true },
  ]);
  return Object.fromEntries(rows);
}

export const SERVE_SETTINGS: SettingsTable = { command: 'serve', settings: SETTINGS };

export const SETTING_KEYS = Object.keys(SETTINGS) as SettingKey[];

/** `--data-dir` for `dataDir`. */
export function flagOf(key: string): string {
  return `--${words(key, '-')}`;
}

/** `SIDEKEY_DATA_DIR` for `dataDir`. */
export function variableOf(key: string): string {
  return `SIDEKEY_${words(key, '_').toUpperCase()}`;
}

function words(key: string, separator: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => separator + letter.toLowerCase());
}
