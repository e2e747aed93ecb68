/** Checks the settings of TLS on the admin API's TCP port against each other. */

import type { Problem } from '../base/index.ts';
import type { ServeConfig } from './serve-config.ts';
import { flagOf, type SettingKey } from './settings.ts';

type TlsKey = 'adminListen' | 'adminTlsCert' | 'adminTlsKey';

/** @param where the setting as the user wrote it; undefined if it is a default */
export function tlsProblems(
  { adminListen, adminTlsCert, adminTlsKey }: Partial<Pick<ServeConfig, TlsKey>>,
  where: (key: SettingKey) => string | undefined,
): Problem[] {
  const missing = (key: TlsKey, given: TlsKey, rule: string): Problem => ({
    path: flagOf(key),
    problem: `it is not set, and ${where(given) ?? flagOf(given)} is`,
    rule,
  });
  const both = 'TLS needs a certificate and its key';
  if (adminTlsCert !== undefined && adminTlsKey === undefined && where('adminTlsKey') === undefined)
    return [missing('adminTlsKey', 'adminTlsCert', both)];
  if (adminTlsKey !== undefined && adminTlsCert === undefined && where('adminTlsCert') === undefined)
    return [missing('adminTlsCert', 'adminTlsKey', both)];
  if (adminTlsCert !== undefined && adminListen === undefined && where('adminListen') === undefined)
    return [missing('adminListen', 'adminTlsCert', 'the Unix socket has no TLS: give the address to listen on')];
  return [];
}
