/** Checks the settings of the published bundle against each other. */

import { formatDuration, isWithin, type Problem } from '../base/index.ts';
import { PUBLISHED_HINTS } from '../ca/index.ts';
import { trustDomainOf } from '../spiffe/index.ts';
import { quote } from './kinds.ts';
import type { ServeConfig } from './serve-config.ts';
import { flagOf, type SettingKey } from './settings.ts';

type Where = (key: SettingKey) => string | undefined;

/**
 * @param where the setting as the user wrote it; undefined if it is a default
 * @param isWhole all settings are known, so that missing ones can be reported
 */
export function federationProblems(config: Partial<ServeConfig>, where: Where, isWhole: boolean): Problem[] {
  return [
    ...(isWhole ? profileProblems(config, where) : []),
    ...idProblems(config, where),
    ...fileProblems(config, where),
    ...lifeProblems(config, where),
  ];
}

/** True if other trust domains fetch the bundle, from the endpoint or from elsewhere. */
export function isBundleFetched(config: Pick<ServeConfig, 'federationListen' | 'federationPublishFile'>): boolean {
  return config.federationListen !== undefined || config.federationPublishFile !== undefined;
}

/** The settings that only one profile has. */
const OF_PROFILE = {
  federationSpiffeId: 'https_spiffe',
  federationCertFile: 'https_web',
  federationKeyFile: 'https_web',
} as const;

function* profileProblems(config: Partial<ServeConfig>, where: Where): Iterable<Problem> {
  const { federationListen: listen, federationProfile: profile } = config;
  const isListening = listen !== undefined || where('federationListen') !== undefined;
  for (const key of ['federationProfile', ...Object.keys(OF_PROFILE)] as (keyof typeof OF_PROFILE)[]) {
    const path = where(key);
    if (path === undefined) continue;
    if (!isListening) {
      const rule = `it is of ${flagOf('federationListen')}, which is not set`;
      yield { path, problem: 'it has no effect', rule };
    } else if (OF_PROFILE[key] !== undefined && profile !== undefined && OF_PROFILE[key] !== profile) {
      const rule = `it is of ${flagOf('federationProfile')} ${OF_PROFILE[key]}: leave it out`;
      yield { path, problem: `it has no effect with the profile ${profile}`, rule };
    }
  }
  if (!isListening || profile !== 'https_web') return;
  for (const key of ['federationCertFile', 'federationKeyFile'] as const) {
    if (where(key) !== undefined) continue;
    const problem = `it is not set, and ${where('federationProfile') ?? flagOf('federationProfile')} is https_web`;
    yield { path: flagOf(key), problem, rule: 'give a certificate for the host name in the URL, and its key' };
  }
}

function* idProblems({ federationSpiffeId: id, trustDomain }: Partial<ServeConfig>, where: Where): Iterable<Problem> {
  if (id === undefined || trustDomain === undefined || trustDomainOf(id) === trustDomain) return;
  yield {
    path: where('federationSpiffeId') ?? flagOf('federationSpiffeId'),
    problem: `its trust domain is ${trustDomainOf(id)}`,
    rule: `the endpoint gets an SVID of this trust domain: spiffe://${trustDomain}/…`,
  };
}

function* fileProblems(
  { federationPublishFile: file, dataDir }: Partial<ServeConfig>,
  where: Where,
): Iterable<Problem> {
  if (file === undefined || dataDir === undefined || !isWithin(file, dataDir)) return;
  yield {
    path: where('federationPublishFile') ?? flagOf('federationPublishFile'),
    problem: `${quote(file)} is in the data directory, ${quote(dataDir)}`,
    rule: 'other programs read it, and only Sidekey may read its data directory: give it a directory of its own',
  };
}

/** A new authority is published for some time before it signs, so the lives of authorities leave room for that. */
function* lifeProblems(config: Partial<ServeConfig>, where: Where): Iterable<Problem> {
  const { federationRefreshHint: hint, upstream, offlineRoot } = config;
  if (hint === undefined || !isBundleFetched(config as ServeConfig)) return;
  const ahead = PUBLISHED_HINTS * hint;
  const isUpstreams = offlineRoot === true || (upstream !== undefined && upstream !== 'self');
  const shares = { jwtKeyTtl: 3, ...(isUpstreams ? { caTtl: 4 } : { rootTtl: 4 }) } as const;
  for (const [key, share] of Object.entries(shares) as ['jwtKeyTtl' | 'caTtl' | 'rootTtl', number][]) {
    const life = config[key];
    if (life === undefined || ahead * share <= life) continue;
    yield {
      path: where('federationRefreshHint') ?? where(key) ?? flagOf('federationRefreshHint'),
      problem: `a new authority is published for ${PUBLISHED_HINTS} refresh hints (${formatDuration(ahead)}) before it signs, and ${flagOf(key)} is ${formatDuration(life)}`,
      rule: `${flagOf(key)} is at least ${share} times as long: give a shorter refresh hint, or a longer life`,
    };
  }
}
