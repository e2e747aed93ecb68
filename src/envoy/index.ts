/** Writes Envoy's bootstraps, and finds faults in them. */

export { bootstrapYaml } from './bootstrap.ts';
export { faultsOfBootstrap } from './bootstrap-faults.ts';
export { STDIN } from './lint/edit.ts';
export type { Known, KnownServer, PathKind } from './lint/rules/rule.ts';
export { type Address, type BootstrapPlan, type Peer, RESERVED_NAMES, type Upstream } from './plan.ts';
