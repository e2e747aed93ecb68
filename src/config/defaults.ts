/** Where things are when nobody says: the system's places for root, the user's own for others. */

import path from 'node:path';

/** The environment and who runs in it. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The effective one. */
  readonly uid: number;
}

/** `/var/lib/sidekey`, else `$XDG_STATE_HOME/sidekey`; undefined without a home. @see XDG Base Directory Specification */
export function defaultDataDir({ env, uid }: Surroundings): string | undefined {
  if (uid === 0) return '/var/lib/sidekey';
  const home = absolute(env.HOME);
  const state = absolute(env.XDG_STATE_HOME) ?? (home === undefined ? undefined : path.join(home, '.local/state'));
  return state === undefined ? undefined : path.join(state, 'sidekey');
}

/** The pipe: `agent.sock` in `/run/sidekey`, else `$XDG_RUNTIME_DIR/sidekey`; undefined without that. */
export function defaultSocket(surroundings: Surroundings): string | undefined {
  return inRuntimeDir('agent.sock', surroundings);
}

const ADMIN_SOCKET = 'admin.sock';

/** The admin socket of a server with this data directory: containers mount the pipe's directory, and never this one. */
export function adminSocketIn(dataDir: string): string {
  return path.join(dataDir, ADMIN_SOCKET);
}

/** Where the admin socket was by default in earlier versions: beside the pipe. */
export function formerAdminSocket(surroundings: Surroundings): string | undefined {
  return inRuntimeDir(ADMIN_SOCKET, surroundings);
}

/** The same for a pipe at any place. */
export function formerAdminSocketOf(pipe: string): string {
  return path.join(path.dirname(pipe), ADMIN_SOCKET);
}

function inRuntimeDir(name: string, { env, uid }: Surroundings): string | undefined {
  const runtime = uid === 0 ? '/run' : absolute(env.XDG_RUNTIME_DIR);
  return runtime === undefined ? undefined : path.join(runtime, 'sidekey', name);
}

/** The specification wants relative ones ignored. */
function absolute(place: string | undefined): string | undefined {
  return place !== undefined && path.isAbsolute(place) ? place : undefined;
}
