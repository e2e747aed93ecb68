/** JWT-SVIDs: signs, caches and validates them. */

export { AudienceError, InvalidTokenError } from './errors.ts';
export type { JwtSvid } from './issuer.ts';
export { type JwtSvidRequest, JwtSvids, type JwtSvidsOptions } from './jwt-svids.ts';
export { type JwtBundles, shownClaims, type ValidatedJwtSvid, validateJwtSvid } from './validate.ts';
