/** JWT-SVIDs: signs, caches and validates them. */

export { JwtSvids } from './jwt-svids.ts';
