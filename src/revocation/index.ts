/** Revocation: from a request to the lists that proxies have acknowledged. */

export { LocalRevoker } from './revoker.ts';
