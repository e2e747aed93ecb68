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

export type SocketName = 'agent.sock' | 'admin.sock';

/** `agent.sock` (the pipe) or `admin.sock` in `/run/sidekey`, else `$XDG_RUNTIME_DIR/sidekey`; undefined without that. */
export function defaultSocket(name: SocketName, { env, uid }: Surroundings): string | undefined {
  const runtime = uid === 0 ? '/run' : absolute(env.XDG_RUNTIME_DIR);
  return runtime === undefined ? undefined : path.join(runtime, 'sidekey', name);
}

/** The specification wants relative ones ignored. */
function absolute(place: string | undefined): string | undefined {
  return place !== undefined && path.isAbsolute(place) ? place : undefined;
}
