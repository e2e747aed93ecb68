/** The settings of `sidekey agent run`: those that every host has, and its own. */

import { ATTESTOR_SETTINGS } from '../attest/index.ts';
import type { AgentConfig } from './agent-config.ts';
import { defaultAgentDataDir } from './default-paths.ts';
import * as kinds from './kinds.ts';
import type { HostConfig } from './serve-config.ts';
import { fixed, off, SETTINGS, type Setting, type SettingsTable } from './settings.ts';

type OwnKey = Exclude<keyof AgentConfig, keyof HostConfig>;

const OWN: { readonly [K in OwnKey]: Setting<AgentConfig[K]> } = {
  server: {
    about: 'the port for agents (--agent-listen) of a Sidekey server, or a SPIRE server; several of one trust domain',
    kind: kinds.hostPorts,
  },
  joinToken: {
    about: 'token of sidekey agent token, for the first start; others on this host can read it here, so prefer a file',
    kind: kinds.joinToken,
    optional: true,
  },
  joinTokenFile: { about: 'file with that token', kind: kinds.file, optional: true },
  x509popCert: {
    about: "PEM file with this host's certificate and its intermediates, by which the agent joins",
    kind: kinds.readableFile,
    optional: true,
  },
  x509popKey: { about: 'PEM file with the key of that certificate', kind: kinds.readableFile, optional: true },
  trustBundle: {
    about: 'file with the roots of the trust domain, PEM or SPIFFE JSON, for the first start',
    kind: kinds.readableFile,
    optional: true,
  },
  trustBundleUrl: { about: 'https URL of the same', kind: kinds.bundleUrl, optional: true },
  insecureBootstrap: {
    about: 'join the first server that answers, whoever it is: only for tests',
    ...off,
  },
  syncInterval: {
    about: 'pause between two questions to a SPIRE server; a Sidekey server tells of changes itself',
    kind: kinds.duration('1s', '1h'),
    fallback: fixed('5s'),
  },
};

/** The rows of `serve` that every host has. */
const SHARED = [
  'config',
  'trustDomain',
  'dataDir',
  'socket',
  'adminSocket',
  'socketMode',
  'socketGroup',
  'allowContained',
  'allowUnpinnedPeers',
  'bundleFor',
  'workloadApiHold',
  'disableSpiffeCertValidation',
  'sdsDefaultName',
  'sdsBundleName',
  'sdsAllBundlesName',
  'x509SvidKeyType',
  'jwtSvidTtl',
  'maxJwtAudiences',
  'maxJwtSvidsPerSecondPerId',
  'maxCachedJwtSvidsPerId',
  'adminMaxConnections',
  'maxConnectionsPerUid',
  'maxStreamsPerUid',
  'maxRequestsPerSecondPerUid',
  'logLevel',
  'logFormat',
] as const satisfies readonly (keyof HostConfig)[];

/** The rows in the order of `--help`. */
const SHARED_ROWS = Object.fromEntries(
  [...SHARED.slice(0, 7), ...Object.keys(ATTESTOR_SETTINGS), ...SHARED.slice(7)].map((key) => [
    key,
    SETTINGS[key as keyof HostConfig] as Setting<unknown>,
  ]),
);

const DATA_DIR: Setting<unknown> = {
  about: 'directory for the key and SVID of the agent, accessible only for its owner (0700)',
  kind: kinds.directory,
  fallback: {
    text: defaultAgentDataDir,
    words: '/var/lib/sidekey-agent as root, else $XDG_STATE_HOME/sidekey-agent',
    needs: 'HOME',
  },
};

const { config, trustDomain, ...others } = SHARED_ROWS;

export const AGENT_SETTINGS: SettingsTable = {
  command: 'agent run',
  settings: {
    ...({ config, trustDomain } as Record<string, Setting<unknown>>),
    ...(OWN as Record<string, Setting<unknown>>),
    ...others,
    dataDir: DATA_DIR,
  },
};
