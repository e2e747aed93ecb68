/** Checks the reserved SDS names against each other. */

import type { Problem } from '../base/index.ts';
import { quote } from './kinds.ts';
import type { ServeConfig } from './serve-config.ts';
import { flagOf, type SettingKey } from './settings.ts';

type NameKey = 'sdsDefaultName' | 'sdsBundleName' | 'sdsAllBundlesName';

/** Pairs that may not be equal. The name of all bundles may be that of the own one, whose place it then takes. */
const APART: readonly (readonly [NameKey, NameKey])[] = [
  ['sdsDefaultName', 'sdsBundleName'],
  ['sdsDefaultName', 'sdsAllBundlesName'],
];

/** @param where the setting as the user wrote it; undefined if it is a default */
export function nameProblems(
  config: Partial<Pick<ServeConfig, NameKey>>,
  where: (key: SettingKey) => string | undefined,
): Problem[] {
  return APART.flatMap(([a, b]) => {
    const name = config[a];
    if (name === undefined || name !== config[b]) return [];
    const [given, other] = where(b) === undefined ? [a, b] : [b, a];
    return [
      {
        path: where(given) ?? flagOf(given),
        problem: `${quote(name)} is the name of ${flagOf(other)} too`,
        rule: 'a certificate and a bundle need two names; only --sds-all-bundles-name may be equal to --sds-bundle-name',
      },
    ];
  });
}
