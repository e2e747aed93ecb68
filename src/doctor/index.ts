/** The checks of `sidekey doctor`. */

export { type Check, type CheckResult, runChecks, summary } from './check.ts';
export { serverChecks, silenceCheck } from './checks.ts';
export type { Lookup, ServerView } from './envoy-admin.ts';
export { envoyAdminCheck } from './envoy-check.ts';
export { envoyFileCheck, type Names, THIS_HOST } from './envoy-file.ts';
export { idsOf } from './envoy-secrets.ts';
export { judgePrograms } from './programs.ts';
export { judgeProxies } from './proxies.ts';
