/** Default paths: system directories for root, directories of the user for others. */

import path from 'node:path';

/** The environment and the user. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The effective uid. */
  readonly uid: number;
}

/** `/var/lib/sidekey`, else `$XDG_STATE_HOME/sidekey`; undefined without a home. @see XDG Base Directory Specification */
export function defaultDataDir(surroundings: Surroundings): string | undefined {
  return stateDir('sidekey', surroundings);
}

/** The same of an agent: `sidekey-agent`. */
export function defaultAgentDataDir(surroundings: Surroundings): string | undefined {
  return stateDir('sidekey-agent', surroundings);
}

function stateDir(name: string, { env, uid }: Surroundings): string | undefined {
  if (uid === 0) return `/var/lib/${name}`;
  const home = absolute(env.HOME);
  const state = absolute(env.XDG_STATE_HOME) ?? (home === undefined ? undefined : path.join(home, '.local/state'));
  return state === undefined ? undefined : path.join(state, name);
}

/** The pipe: `agent.sock` in `/run/sidekey`, else `$XDG_RUNTIME_DIR/sidekey`; undefined without that. */
export function defaultSocket(surroundings: Surroundings): string | undefined {
  return inRuntimeDir('agent.sock', surroundings);
}

/** Root's default pipe, which processes of other users may use too. */
export const SYSTEM_SOCKET = '/run/sidekey/agent.sock';

const ADMIN_SOCKET = 'admin.sock';

/** The admin socket in this data directory, which containers do not mount, unlike the pipe's directory. */
export function adminSocketIn(dataDir: string): string {
  return path.join(dataDir, ADMIN_SOCKET);
}

/** The default admin socket of earlier versions, beside the pipe. */
export function formerAdminSocket(surroundings: Surroundings): string | undefined {
  return inRuntimeDir(ADMIN_SOCKET, surroundings);
}

function inRuntimeDir(name: string, { env, uid }: Surroundings): string | undefined {
  const runtime = uid === 0 ? '/run' : absolute(env.XDG_RUNTIME_DIR);
  return runtime === undefined ? undefined : path.join(runtime, 'sidekey', name);
}

/** The specification says to ignore relative paths. */
function absolute(place: string | undefined): string | undefined {
  return place !== undefined && path.isAbsolute(place) ? place : undefined;
}
