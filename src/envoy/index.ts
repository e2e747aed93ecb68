/** Writes Envoy's bootstraps, and finds faults in them. */

export { bootstrapYaml } from './bootstrap.ts';
export { faultsOfBootstrap } from './bootstrap-faults.ts';
export { STDIN } from './lint/edit.ts';
export type { KnownFacts, KnownServer, PathKind } from './lint/rules/rule.ts';
export { type Address, type AllowedPeer, type BootstrapPlan, type EnvoyUpstream, RESERVED_NAMES } from './plan.ts';
