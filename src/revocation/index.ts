/** Revocation: from a request to the lists that proxies have acknowledged. */

export { LocalRevoker } from './revoker.ts';
export type { RevocationOutcome, RevocationProxy, RevocationTarget, Revoker } from './types.ts';
