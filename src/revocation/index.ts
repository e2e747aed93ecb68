/** Revocation: from a request to the lists that proxies have acknowledged. */

export type {
  RevocationListInfo,
  RevocationOutcome,
  RevocationProxy,
  RevocationTarget,
  RevokeOptions,
  Revoker,
} from './types.ts';
