/** The pipe that a client command uses. */

import { existsSync } from 'node:fs';
import { readSocketPath } from '../base/index.ts';
import { defaultSocket, SYSTEM_SOCKET } from '../config/index.ts';
import { UsageError } from './errors.ts';

/** Described in `--help`. */
export const PIPE_DEFAULT =
  "default: SIDEKEY_SOCKET, SPIFFE_ENDPOINT_SOCKET, the default of this user's server, or /run/sidekey/agent.sock";

/** The path that a flag or a variable gives; undefined if none does. @throws UsageError */
export function givenPipe(flag: string | undefined, flagName = '--socket'): string | undefined {
  const { SIDEKEY_SOCKET, SPIFFE_ENDPOINT_SOCKET } = process.env;
  const given = { [flagName]: flag, SIDEKEY_SOCKET, SPIFFE_ENDPOINT_SOCKET };
  // An empty variable counts as not set, an empty flag is a mistake.
  const found = Object.entries(given).find(([name, text]) => text !== undefined && (text !== '' || name === flagName));
  return found && socketPath(found[0], found[1]!);
}

/** The path in a flag or variable. @throws UsageError */
export function socketPath(where: string, text: string): string {
  const place = readSocketPath(text);
  if (typeof place === 'string') return place;
  throw new UsageError(`${where}: ${place.problem}; ${place.rule}`);
}

/** The default pipe: that of this user's own server, or root's if only that one exists; undefined if neither is known. */
export function defaultPipe(): string | undefined {
  const own = defaultSocket({ env: process.env, uid: process.geteuid!() });
  if (own !== undefined && existsSync(own)) return own;
  return existsSync(SYSTEM_SOCKET) ? SYSTEM_SOCKET : own;
}

/** Why the pipe of this user's own server is not known, in words that follow a statement; empty if it is. */
export function whyUnknown(): string {
  const isKnown = defaultSocket({ env: process.env, uid: process.geteuid!() }) !== undefined;
  return isKnown ? '' : ' (XDG_RUNTIME_DIR is not set, as after su, sudo or cron)';
}

/** The pipe of a flag or variable, else the default one. @throws UsageError if neither is known */
export function knownPipe(flag: string | undefined, flagName?: string): string {
  const place = givenPipe(flag, flagName) ?? defaultPipe();
  if (place !== undefined) return place;
  throw new UsageError(
    `XDG_RUNTIME_DIR is not set (as after su, sudo or cron), and ${SYSTEM_SOCKET} does not exist: give ${flagName ?? '--socket'}`,
  );
}
