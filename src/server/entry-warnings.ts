/** The warnings for accepted entries that depend on this server's attestors and settings. */

import type { RunningAttestor } from '../attest/description.ts';
import type { Clock } from '../base/clock.ts';
import { longestKeptSvidTtl } from '../ca/certificate-authority.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import { createWarningsOf, type WarningsOf } from '../registry/entry-warnings.ts';
import type { Registry } from '../registry/types.ts';
import { whyNever } from './attestors.ts';

export function entryWarnings(from: {
  readonly config: ServeConfig;
  readonly attestors: readonly RunningAttestor[];
  readonly registry: Registry;
  readonly clock: Clock;
}): WarningsOf {
  const { config, attestors, registry, clock } = from;
  return createWarningsOf({
    whyNever: (selector) => whyNever(selector, attestors),
    longestSvidTtl: longestKeptSvidTtl(config.caTtl),
    federatedBundles: registry.federatedBundles,
    now: () => clock.now(),
  });
}
