/** Checks the settings of JWT-SVIDs against each other. */

import { formatDuration, type Problem } from '../base/index.ts';
import type { ServeConfig } from './serve-config.ts';
import { flagOf, type SettingKey } from './settings.ts';

type JwtKey = 'jwtKeyTtl' | 'jwtPublishBefore' | 'oidcListen' | 'oidcCertFile' | 'oidcKeyFile';
type JwtSettings = Partial<Pick<ServeConfig, JwtKey>>;
type Where = (key: SettingKey) => string | undefined;

/**
 * @param where the setting as the user wrote it; undefined if it is a default
 * @param isWhole all settings are known, so that missing ones can be reported
 */
export function jwtProblems(config: JwtSettings, where: Where, isWhole: boolean): Problem[] {
  return [...lifeProblems(config, where), ...(isWhole ? oidcProblems(config, where) : [])];
}

function lifeProblems({ jwtKeyTtl, jwtPublishBefore }: JwtSettings, where: Where): Problem[] {
  if (jwtKeyTtl === undefined || jwtPublishBefore === undefined || jwtPublishBefore * 3 <= jwtKeyTtl) return [];
  const key = where('jwtPublishBefore') === undefined ? 'jwtKeyTtl' : 'jwtPublishBefore';
  const [life, before] = [formatDuration(jwtKeyTtl), formatDuration(jwtPublishBefore)];
  return [
    {
      path: where(key) ?? flagOf(key),
      problem: `a key lives for ${life}, and is to be published for ${before} before it signs`,
      rule: `a key is published for a third of its life: ${flagOf('jwtKeyTtl')} is at least three times ${flagOf('jwtPublishBefore')}`,
    },
  ];
}

function oidcProblems({ oidcListen, oidcCertFile, oidcKeyFile }: JwtSettings, where: Where): Problem[] {
  const problems: Problem[] = [];
  if (where('oidcListen') !== undefined && where('jwtIssuer') === undefined && oidcListen !== undefined) {
    const rule = `the document names the issuer of the tokens: give ${flagOf('jwtIssuer')} the URL at which consumers reach it`;
    problems.push({ path: flagOf('jwtIssuer'), problem: `it is not set, and ${where('oidcListen')} is`, rule });
  }
  const given = { oidcCertFile, oidcKeyFile };
  for (const [key, other] of [
    ['oidcCertFile', 'oidcKeyFile'],
    ['oidcKeyFile', 'oidcCertFile'],
  ] as const) {
    if (given[key] === undefined) continue;
    const path = where(key) ?? flagOf(key);
    if (where(other) === undefined) {
      problems.push({
        path: flagOf(other),
        problem: `it is not set, and ${path} is`,
        rule: 'give the certificate and its key',
      });
    }
    if (oidcListen === undefined && where('oidcListen') === undefined) {
      problems.push({ path, problem: 'it has no effect', rule: `it is of ${flagOf('oidcListen')}, which is not set` });
    }
  }
  return problems;
}
