/** A real Envoy for tests. */

import { type Envoy, findEnvoy, NoEnvoy, pinnedEnvoy, pinnedVersions } from '../../scripts/find-envoy.ts';

/** An Envoy and no reason to skip, or the reason why there is none. */
export type EnvoyForTests = { readonly envoy: Envoy; readonly skip: false } | { readonly skip: string };

/** The Envoy of this machine, or the one of a pinned version. */
export async function envoyForTests(version?: string): Promise<EnvoyForTests> {
  const search = { tell: (line: string) => console.error(line) };
  try {
    return { envoy: await (version === undefined ? findEnvoy(search) : pinnedEnvoy(version, search)), skip: false };
  } catch (error) {
    if (error instanceof NoEnvoy) return { skip: `no Envoy: ${error.message.split('\n')[0]}` };
    throw error;
  }
}

/** The oldest Envoy that we promise to work with. */
export async function oldestEnvoyForTests(): Promise<EnvoyForTests> {
  return envoyForTests((await pinnedVersions()).at(-1)!);
}
