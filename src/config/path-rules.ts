/**
 * Checks the paths of the settings against each other. The passphrase may not be where the keys are. Containers mount
 * the pipe's directory, and root in a container has
 * root's rights on a socket or a key file there, so only the pipe may be in it.
 */

import path from 'node:path';
import { isWithin, MAX_SOCKET_PATH_BYTES, type Problem } from '../base/index.ts';
import type { AgentConfig } from './agent-config.ts';
import { quote } from './kinds.ts';
import type { ServeConfig } from './serve-config.ts';
import { flagOf } from './settings.ts';

/** Of a server or an agent. */
type Places = Partial<
  Pick<
    ServeConfig,
    | 'socket'
    | 'adminSocket'
    | 'dataDir'
    | 'adminTokenFile'
    | 'adminTlsKey'
    | 'keyPassphraseFile'
    | 'oldKeyPassphraseFile'
    | 'oidcKeyFile'
  > &
    Pick<AgentConfig, 'joinTokenFile' | 'x509popKey'>
>;
type PlaceKey = keyof Places;

/** Paths that may not be in the pipe's directory. */
const APART: readonly (readonly [key: PlaceKey, what: string])[] = [
  ['adminSocket', 'the admin socket'],
  ['dataDir', 'the data directory'],
  ['adminTokenFile', 'the token of the admin API'],
  ['adminTlsKey', 'the TLS key of the admin API'],
  ['keyPassphraseFile', 'the passphrase of the keys'],
  ['oldKeyPassphraseFile', 'the passphrase of the keys'],
  ['oidcKeyFile', 'the TLS key of OIDC discovery'],
  ['joinTokenFile', 'the join token'],
  ['x509popKey', "the key of this host's certificate"],
];

/**
 * The faults of paths that are valid each by itself. @param where the setting as the user wrote it; undefined if it is
 * a default
 */
export function placeProblems(config: Places, where: (key: PlaceKey) => string | undefined): Problem[] {
  const { socket, adminSocket, dataDir } = config;
  const problems = [...lengthProblems(config, where), ...passphraseProblems(config, where)];
  if (socket === undefined) return problems;
  if (socket === adminSocket) {
    const at = where('adminSocket') ?? flagOf('adminSocket');
    problems.push({
      path: at,
      problem: `${quote(socket)} is the pipe`,
      rule: 'give the admin API another socket than the pipe',
    });
    return problems;
  }
  const directory = path.dirname(socket);
  for (const [key, what] of APART) {
    const place = config[key];
    // By default the admin socket is in the data directory.
    const follows = key === 'adminSocket' && where(key) === undefined && dataDir !== undefined;
    if (place === undefined || follows || !isWithin(place, directory)) continue;
    problems.push({
      path: where(key) ?? where('socket') ?? flagOf(key),
      problem: `${what}, ${quote(place)}, is in the directory of the pipe, ${quote(directory)}`,
      rule: `containers mount the directory of the pipe, so ${what} may not be in or below it`,
    });
  }
  return problems;
}

/** A backup or copy of the data directory must not contain the passphrase beside the keys that it protects. */
function passphraseProblems(config: Places, where: (key: PlaceKey) => string | undefined): Problem[] {
  const { dataDir } = config;
  return (['keyPassphraseFile', 'oldKeyPassphraseFile'] as const).flatMap((key): Problem[] => {
    const place = config[key];
    if (place === undefined || dataDir === undefined || !isWithin(place, dataDir)) return [];
    return [
      {
        path: where(key) ?? flagOf(key),
        problem: `${quote(place)} is in the data directory, ${quote(dataDir)}`,
        rule: 'whoever has a copy of the data directory must not have the passphrase of its keys: keep it elsewhere',
      },
    ];
  });
}

/** Checked early, because sockets are bound last in a start. @see unix(7) */
function lengthProblems(config: Places, where: (key: PlaceKey) => string | undefined): Problem[] {
  return (['socket', 'adminSocket'] as const).flatMap((key): Problem[] => {
    const place = config[key];
    const bytes = place === undefined ? 0 : Buffer.byteLength(place);
    if (bytes <= MAX_SOCKET_PATH_BYTES) return [];
    const isDefault = key === 'adminSocket' && where(key) === undefined;
    const rule = `the path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes`;
    return [
      {
        path: where(key) ?? (isDefault ? where('dataDir') : undefined) ?? flagOf(key),
        problem: `the path ${quote(place!)} has ${bytes} bytes`,
        rule: isDefault ? `${rule}: give ${flagOf(key)} a shorter path, outside the directory of the pipe` : rule,
      },
    ];
  });
}
