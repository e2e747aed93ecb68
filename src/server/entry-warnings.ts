/** The warnings for accepted entries that depend on this server's attestors and settings. */

import type { RunningAttestor } from '../attest/index.ts';
import type { Clock } from '../base/index.ts';
import { longestKeptJwtTtl, longestKeptSvidTtl } from '../ca/index.ts';
import type { ServeConfig } from '../config/index.ts';
import { createWarningsOf, type Registry, type WarningsOf } from '../registry/index.ts';
import { whyNoCallerHas, whyNoPlaceholder } from './attestors.ts';

export function entryWarnings(from: {
  readonly config: ServeConfig;
  readonly attestors: readonly RunningAttestor[];
  readonly registry: Registry;
  readonly clock: Clock;
}): WarningsOf {
  const { config, attestors, registry, clock } = from;
  return createWarningsOf({
    whyNever: (selector, beside) => whyNoCallerHas(selector, beside, attestors),
    whyNoPlaceholder: (name) => whyNoPlaceholder(name, attestors),
    longestSvidTtl: longestKeptSvidTtl(config.caTtl),
    longestJwtTtl: longestKeptJwtTtl(config.jwtKeyTtl),
    federatedBundles: registry.federatedBundles,
    isLocal: (entry) => registry.isLocal(entry),
    now: () => clock.now(),
  });
}
