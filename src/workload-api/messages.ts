/** Parts of messages that several methods send. */

import { hash } from 'node:crypto';
import { type TrustBundle, trustDomainId, workloadApiJwks } from '../spiffe/index.ts';
import type { Item, State } from './state.ts';

export function stateOf(bytes: Uint8Array, items: readonly Item[], hasKeys: boolean): State {
  return { bytes, version: hash('sha256', bytes, 'base64url'), hasKeys, items };
}

export function bundleItem(bundle: TrustBundle): Item {
  return { name: trustDomainId(bundle.trustDomain), svid: undefined, trust: [bundle] };
}

const concatenations = new WeakMap<TrustBundle, Buffer>();

/** The X.509 authorities of a bundle, in DER one after the other. */
export function concatenated(bundle: TrustBundle): Buffer {
  let der = concatenations.get(bundle);
  if (der === undefined) {
    der = Buffer.concat(bundle.x509Authorities);
    concatenations.set(bundle, der);
  }
  return der;
}

/** X.509 authorities by trust domain ID. Domains without any are left out: clients refuse an empty bundle. */
export function x509ById(bundles: readonly TrustBundle[]): Record<string, Buffer> {
  const withSome = bundles.filter(({ x509Authorities }) => x509Authorities.length > 0);
  return Object.fromEntries(withSome.map((bundle) => [trustDomainId(bundle.trustDomain), concatenated(bundle)]));
}

/** JWK Sets in JSON by trust domain ID. */
export function jwksById(bundles: readonly TrustBundle[]): Record<string, Buffer> {
  return Object.fromEntries(
    bundles.map(({ trustDomain, jwtAuthorities }) => {
      return [trustDomainId(trustDomain), Buffer.from(JSON.stringify(workloadApiJwks(jwtAuthorities)))];
    }),
  );
}
