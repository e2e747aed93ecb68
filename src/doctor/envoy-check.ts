/** The check of a running Envoy. Certificates and TLS are loaded only when it runs. */

import type { Clock } from '../base/index.ts';
import type { Check } from './check.ts';
import type { Lookup } from './envoy-admin.ts';

export function envoyAdminCheck(url: string, lookup: Lookup, clock: Clock): Check {
  return {
    name: 'envoy-admin',
    run: async () => {
      const { checkRunningEnvoy } = await import('./envoy-admin.ts');
      return checkRunningEnvoy(url, lookup, clock.now());
    },
  };
}
