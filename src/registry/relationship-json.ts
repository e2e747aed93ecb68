/** A relationship as the admin API and the audit show it. */

import type { Relationship } from './relationship.ts';

/** The fields that a relationship is made from, under the names by which the API takes them. */
export interface RelationshipJson {
  readonly trust_domain: string;
  readonly bundle_endpoint_url: string;
  readonly bundle_endpoint_profile: Relationship['profile'];
  /** Only with https_spiffe. */
  readonly endpoint_spiffe_id: string | null;
  /** Only with https_web: PEM. */
  readonly endpoint_ca: string | null;
}

/** @param show `redacted`: without the query, which may have a secret by which the partner lets this server in */
export function relationshipToJson(relationship: Relationship, show: 'whole' | 'redacted'): RelationshipJson {
  const { trustDomain, url, profile, endpointSpiffeId, endpointCa } = relationship;
  return {
    trust_domain: trustDomain,
    bundle_endpoint_url: show === 'whole' ? url : redactQuery(url),
    bundle_endpoint_profile: profile,
    endpoint_spiffe_id: endpointSpiffeId ?? null,
    endpoint_ca: endpointCa ?? null,
  };
}

/** A relationship can't be set with the result: the ellipsis is no character of a URL. */
function redactQuery(url: string): string {
  const at = url.indexOf('?');
  return at === -1 ? url : `${url.slice(0, at)}?…`;
}
