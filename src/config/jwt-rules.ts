/** Checks the settings of JWT-SVIDs against each other. */

import { formatDuration, type Problem } from '../base/index.ts';
import type { ServeConfig } from './serve-config.ts';
import { flagOf, type SettingKey } from './settings.ts';

/** @param where the setting as the user wrote it; undefined if it is a default */
export function jwtProblems(
  { jwtKeyTtl, jwtPublishBefore }: Partial<Pick<ServeConfig, 'jwtKeyTtl' | 'jwtPublishBefore'>>,
  where: (key: SettingKey) => string | undefined,
): Problem[] {
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
