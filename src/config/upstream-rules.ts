/** Checks the settings of the upstream authority against each other: what its kind needs, and what has no effect. */

import path from 'node:path';
import { isWithin, type Problem } from '../base/index.ts';
import type { UpstreamChoice, UpstreamSettings } from '../ca/index.ts';
import { quote } from './kinds.ts';
import type { ServeConfig } from './serve-config.ts';
import { flagOf, type SettingKey } from './settings.ts';

type UpstreamKey = Exclude<keyof UpstreamSettings, 'upstream'> | 'rootTtl';

/** The kinds that a setting belongs to. */
const KINDS_OF: Readonly<Record<UpstreamKey, readonly UpstreamChoice[]>> = {
  offlineRoot: ['self'],
  rootTtl: ['self'],
  upstreamTimeout: ['vault', 'command'],
  upstreamBundleFile: ['disk', 'vault', 'command'],
  upstreamCertFile: ['disk'],
  upstreamKeyFile: ['disk'],
  upstreamCommand: ['command'],
  vaultAddr: ['vault'],
  vaultMount: ['vault'],
  vaultNamespace: ['vault'],
  vaultCaFile: ['vault'],
  vaultTokenFile: ['vault'],
  vaultApproleRoleIdFile: ['vault'],
  vaultApproleSecretIdFile: ['vault'],
  vaultApproleMount: ['vault'],
};

const NEEDED: Readonly<Record<UpstreamChoice, readonly UpstreamKey[]>> = {
  self: [],
  disk: ['upstreamCertFile', 'upstreamKeyFile'],
  vault: ['vaultAddr'],
  command: ['upstreamCommand'],
};

const APPROLE = ['vaultApproleRoleIdFile', 'vaultApproleSecretIdFile'] as const;
const SECRETS = ['upstreamKeyFile', 'vaultTokenFile', ...APPROLE] as const;

/**
 * @param where the setting as the user wrote it; undefined if it is a default
 * @param isWhole all settings are known, so that missing ones can be reported
 */
export function upstreamProblems(
  config: Partial<ServeConfig>,
  where: (key: SettingKey) => string | undefined,
  isWhole: boolean,
): Problem[] {
  const { upstream, socket } = config;
  // The fault of that setting is reported elsewhere.
  if (upstream === undefined) return [];
  const isGiven = (key: SettingKey) => where(key) !== undefined;
  const missing = (key: SettingKey, rule: string): Problem => ({
    path: flagOf(key),
    problem: `it is not set, and ${where('upstream') ?? flagOf('upstream')} is ${upstream}`,
    rule,
  });
  const problems: Problem[] = [];
  for (const [key, kinds] of Object.entries(KINDS_OF) as [UpstreamKey, readonly UpstreamChoice[]][]) {
    if (!isGiven(key) || kinds.includes(upstream)) continue;
    const rule = `give ${flagOf('upstream')} ${kinds.join(' or ')}, or leave it out`;
    problems.push({ path: where(key)!, problem: `it has no effect with the upstream ${upstream}`, rule });
  }
  if (config.offlineRoot === true && isGiven('rootTtl')) {
    const problem = `it has no effect with ${where('offlineRoot') ?? flagOf('offlineRoot')}`;
    problems.push({
      path: where('rootTtl')!,
      problem,
      rule: 'whoever keeps the offline root decides how long it lives: leave it out',
    });
  }
  for (const key of NEEDED[upstream]) {
    if (isWhole && !isGiven(key)) problems.push(missing(key, `the upstream ${upstream} needs it`));
  }
  if (upstream === 'vault' && isWhole) problems.push(...authProblems(isGiven, where, missing));
  const directory = socket && path.dirname(socket);
  for (const key of SECRETS) {
    const place = config[key];
    if (place === undefined || directory === undefined || !isWithin(place, directory)) continue;
    problems.push({
      path: where(key) ?? flagOf(key),
      problem: `${quote(place)} is in the directory of the pipe, ${quote(directory)}`,
      rule: 'containers mount the directory of the pipe, so no secret may be in or below it',
    });
  }
  return problems;
}

/** A token, or both parts of an AppRole. */
function authProblems(
  isGiven: (key: SettingKey) => boolean,
  where: (key: SettingKey) => string | undefined,
  missing: (key: SettingKey, rule: string) => Problem,
): Problem[] {
  const given = [...APPROLE, 'vaultApproleMount' as const].find(isGiven);
  if (isGiven('vaultTokenFile')) {
    if (given === undefined) return [];
    const rule = `give ${flagOf('vaultTokenFile')}, or the files of an AppRole, not both`;
    return [{ path: where(given)!, problem: `${where('vaultTokenFile')} is given, too`, rule }];
  }
  if (given === undefined) {
    return [missing('vaultTokenFile', `give it, or ${APPROLE.map(flagOf).join(' and ')}`)];
  }
  return APPROLE.filter((key) => !isGiven(key)).map((key) =>
    missing(key, `an AppRole needs ${APPROLE.map(flagOf).join(' and ')}`),
  );
}
