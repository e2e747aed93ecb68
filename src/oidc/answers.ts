/**
 * What an OIDC provider answers: the discovery document and the keys. Nothing in it comes from the request.
 *
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html sections 3 and 4
 */

import { type Answers, problemAnswer } from '../https/index.ts';
import type { TrustBundle } from '../spiffe/index.ts';
import { oidcJwks } from '../spiffe/index.ts';

/** Pages of any origin may read the keys, which are public. */
const JSON_HEADERS = { 'content-type': 'application/json', 'access-control-allow-origin': '*' };
const ALGORITHMS = ['RS256', 'ES256', 'ES384'];

/**
 * @param issuer the `iss` of the tokens; the paths begin with its path
 * @param bundle the own bundle as it is now
 */
export function answersOf(issuer: string, bundle: () => Pick<TrustBundle, 'jwtAuthorities'>): Answers {
  // The standard: a slash at the end of the issuer is not repeated.
  const base = issuer.replace(/\/$/, '');
  const prefix = new URL(base).pathname.replace(/\/$/, '');
  const discovery = JSON.stringify({
    issuer,
    jwks_uri: `${base}/keys`,
    authorization_endpoint: '',
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ALGORITHMS,
  });
  const bodies: Readonly<Record<string, () => string>> = {
    [`${prefix}/.well-known/openid-configuration`]: () => discovery,
    [`${prefix}/keys`]: () => JSON.stringify(oidcJwks(bundle().jwtAuthorities)),
  };
  return (method, url) => {
    const path = url.split('?', 1)[0]!;
    const body = Object.hasOwn(bodies, path) ? bodies[path] : undefined;
    if (body === undefined)
      return problemAnswer(404, 'Not Found', `there is only ${Object.keys(bodies).join(' and ')}`);
    if (method !== 'GET' && method !== 'HEAD')
      return problemAnswer(405, 'Method Not Allowed', 'give GET', { allow: 'GET, HEAD' });
    return { status: 200, headers: { ...JSON_HEADERS, 'cache-control': 'no-cache' }, body: body() };
  };
}
