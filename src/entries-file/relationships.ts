/**
 * Federation relationships in files: SPIRE's federation.json, and ClusterFederatedTrustDomain of spire-controller-manager.
 *
 * @see https://github.com/spiffe/spire-controller-manager/blob/main/docs/clusterfederatedtrustdomain-crd.md
 */

import { nearest } from '../base/index.ts';
import { type Place, readObject, show } from '../registry/index.ts';
import type { Collected } from './collected.ts';

/** The member that holds the list in a federation.json. */
export const RELATIONSHIPS_MEMBER = 'federationRelationships';

const LIST_RULE = `a federation.json is {"${RELATIONSHIPS_MEMBER}":[…]}`;

/** @param value an object that has the member */
export function readFederationFile(value: object, place: Place, collected: Collected): void {
  for (const name of Object.keys(value)) {
    if (name !== RELATIONSHIPS_MEMBER) place.at(name).fault('there is no such field', LIST_RULE);
  }
  const list = (value as Record<string, unknown>)[RELATIONSHIPS_MEMBER];
  if (!Array.isArray(list)) {
    place.at(RELATIONSHIPS_MEMBER).fault(`it is ${show(list)}, not a list`, LIST_RULE);
    return;
  }
  for (const [at, one] of list.entries()) collected.relationship(one, [RELATIONSHIPS_MEMBER, String(at)]);
}

const SPEC = ['trustDomain', 'bundleEndpointURL', 'bundleEndpointProfile', 'trustDomainBundle', 'className'];
const PROFILE_RULE = 'it is {type: https_web}, or {type: https_spiffe, endpointSPIFFEID: …}';

/** @param spec of a ClusterFederatedTrustDomain @param keys lead to its spec in the document */
export function readTrustDomainSpec(
  spec: Record<string, unknown>,
  keys: readonly string[],
  place: Place,
  collected: Collected,
): void {
  for (const name of Object.keys(spec)) {
    if (SPEC.includes(name)) continue;
    const word = nearest(name, SPEC);
    const meant = word === undefined ? '' : `; did you mean ${word}?`;
    place.at(name).fault(`there is no such field${meant}`, `the fields of spec are ${SPEC.join(', ')}`);
  }
  const { trustDomain, bundleEndpointURL, bundleEndpointProfile, trustDomainBundle, className } = spec;
  if (className !== undefined && className !== '') {
    const rule = 'Sidekey has no controller classes, so it takes the relationships of every class';
    collected.note([...keys, 'className'], `className ${show(className)} has no effect`, rule);
  }
  const profile = readObject(bundleEndpointProfile, place.at('bundleEndpointProfile'), PROFILE_RULE);
  const bundle = readBundle(trustDomainBundle, place.at('trustDomainBundle'));
  if (profile === undefined) return;
  for (const name of Object.keys(profile)) {
    if (name !== 'type' && name !== 'endpointSPIFFEID') {
      place.at('bundleEndpointProfile').at(name).fault('there is no such field', PROFILE_RULE);
    }
  }
  const value = {
    trustDomain,
    bundleEndpointURL,
    bundleEndpointProfile: profile.type,
    ...(profile.endpointSPIFFEID === undefined ? {} : { endpointSPIFFEID: profile.endpointSPIFFEID }),
    ...(bundle === undefined ? {} : { trustDomainBundle: bundle, trustDomainBundleFormat: 'spiffe' }),
  };
  collected.relationship(value, keys);
}

/** A text with JSON, as the resource has it. */
function readBundle(value: unknown, place: Place): unknown {
  if (value === undefined || value === '') return undefined;
  const rule = 'it is the text of a SPIFFE bundle in JSON';
  if (typeof value !== 'string') return place.fault(`it is ${show(value)}`, rule);
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return place.fault('it is not JSON', rule);
  }
}
