/** A real Envoy for tests. */

import { type Envoy, findEnvoy, NoEnvoy } from '../../scripts/find-envoy.ts';

/** An Envoy and no reason to skip, or the reason why there is none. */
export type EnvoyForTests = { readonly envoy: Envoy; readonly skip: false } | { readonly skip: string };

export async function envoyForTests(): Promise<EnvoyForTests> {
  try {
    return { envoy: await findEnvoy({ tell: (line) => console.error(line) }), skip: false };
  } catch (error) {
    if (error instanceof NoEnvoy) return { skip: `no Envoy: ${error.message.split('\n')[0]}` };
    throw error;
  }
}
