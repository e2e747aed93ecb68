/** JWT-SVIDs: signs, caches and validates them. */

export { TokenCounts } from './counts.ts';
export { AudienceError, InvalidTokenError } from './errors.ts';
export { type JwtSvid, TokenIssuer, type TokenRequest, type TokenSource } from './issuer.ts';
export { JwtSvids } from './jwt-svids.ts';
export { shownClaims, validateJwtSvid } from './validate.ts';
