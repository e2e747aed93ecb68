/** OIDC discovery. */

export { openOidcProvider } from './open.ts';
