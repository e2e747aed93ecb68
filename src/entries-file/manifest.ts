/**
 * Reads manifests of spire-controller-manager: ClusterStaticEntry and ClusterFederatedTrustDomain, alone or in lists.
 *
 * @see https://github.com/spiffe/spire-controller-manager/blob/main/docs/clusterstaticentry-crd.md
 */

import { nearest } from '../base/index.ts';
import { type Place, readObject, show } from '../registry/index.ts';
import type { Collected } from './collected.ts';
import { readTrustDomainSpec } from './relationships.ts';

const API_VERSION = 'spire.spiffe.io/v1alpha1';
const KIND = 'ClusterStaticEntry';
const TRUST_DOMAIN_KIND = 'ClusterFederatedTrustDomain';

/** Whether the document is a Kubernetes object rather than a list of entries. */
export function isManifest(value: object): boolean {
  return 'kind' in value || 'apiVersion' in value;
}

/** Fields of `spec`, with the name of the entry's field if it does not follow from it. */
const SPEC: Readonly<Record<string, string>> = {
  spiffeID: 'spiffeID',
  parentID: 'parentID',
  selectors: 'selectors',
  federatesWith: 'federatesWith',
  x509SVIDTTL: 'x509SvidTtl',
  jwtSVIDTTL: 'jwtSvidTtl',
  dnsNames: 'dnsNames',
  hint: 'hint',
  admin: 'admin',
  downstream: 'downstream',
  storeSVID: 'storeSVID',
  className: '',
};
const TTLS: ReadonlySet<string> = new Set(['x509SVIDTTL', 'jwtSVIDTTL']);

/** @param keys lead to the object in its document */
export function readManifest(value: object, keys: readonly string[], place: Place, collected: Collected): void {
  const { apiVersion, kind, metadata, spec, status: _status, ...others } = value as Record<string, unknown>;
  if (isList(kind, apiVersion)) {
    readItems(value as Record<string, unknown>, keys, place, collected);
    return;
  }
  if (kind === TRUST_DOMAIN_KIND && apiVersion === API_VERSION) {
    for (const name of Object.keys(others)) {
      place.at(name).fault(`there is no such field${meant(name, TOP)}`, `a ${kind} has ${TOP.join(', ')}`);
    }
    const fields = readObject(spec, place.at('spec'), `a ${kind} has its relationship in spec`);
    if (fields !== undefined) readTrustDomainSpec(fields, [...keys, 'spec'], place.at('spec'), collected);
    return;
  }
  if (!isKnownKind(kind, apiVersion, place)) return;
  for (const name of Object.keys(others)) {
    place.at(name).fault(`there is no such field${meant(name, TOP)}`, `a ${KIND} has ${TOP.join(', ')}`);
  }
  if (metadata !== undefined) readObject(metadata, place.at('metadata'), 'metadata is an object');
  const fields = readObject(spec, place.at('spec'), `a ${KIND} has its entry in spec`);
  if (fields !== undefined)
    collected.entry(readSpec(fields, [...keys, 'spec'], place.at('spec'), collected), [...keys, 'spec']);
}

const TOP = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

function isList(kind: unknown, apiVersion: unknown): boolean {
  const isTyped = kind === `${KIND}List` || kind === `${TRUST_DOMAIN_KIND}List`;
  return (kind === 'List' && apiVersion === 'v1') || (isTyped && apiVersion === API_VERSION);
}

function readItems(
  { items, apiVersion: _version, kind, metadata: _metadata, ...others }: Record<string, unknown>,
  keys: readonly string[],
  place: Place,
  collected: Collected,
): void {
  for (const name of Object.keys(others)) {
    place.at(name).fault('there is no such field', `a ${String(kind)} has apiVersion, kind, metadata and items`);
  }
  if (!Array.isArray(items)) {
    place.at('items').fault(`it is ${show(items)}, not a list`, `a ${String(kind)} has a list of items`);
    return;
  }
  for (const [at, item] of items.entries()) {
    const one = place.at('items').at(at);
    const object = readObject(item, one, `it is a ${KIND}`);
    // The kinds of the items of a typed list may be left out.
    const ofItems = String(kind).replace(/List$/, '');
    const typed = object && kind !== 'List' ? { apiVersion: API_VERSION, kind: ofItems, ...object } : object;
    if (typed === undefined) continue;
    if (isList(typed.kind, typed.apiVersion)) one.at('kind').fault('it is a list in a list', `it is a ${KIND}`);
    else readManifest(typed, [...keys, 'items', String(at)], one, collected);
  }
}

function isKnownKind(kind: unknown, apiVersion: unknown, place: Place): boolean {
  if (kind === 'ClusterSPIFFEID') {
    const problem = 'a ClusterSPIFFEID makes entries from the pods of a cluster, which Sidekey cannot see';
    place.at('kind').fault(problem, `give each identity as a ${KIND} or in entries`);
    return false;
  }
  let known = true;
  if (kind !== KIND) {
    known = false;
    const hint = typeof kind === 'string' ? meant(kind, [KIND, `${KIND}List`, TRUST_DOMAIN_KIND]) : '';
    place.at('kind').fault(`it is ${show(kind)}${hint}`, `the kind of a manifest is ${KIND}`);
  }
  if (apiVersion !== API_VERSION) {
    known = false;
    place.at('apiVersion').fault(`it is ${show(apiVersion)}`, `the apiVersion of a ${KIND} is ${API_VERSION}`);
  }
  return known;
}

/** The spec with the names of an entry's fields; the registry's rules check their values. */
function readSpec(
  spec: Record<string, unknown>,
  keys: readonly string[],
  place: Place,
  collected: Collected,
): Record<string, unknown> {
  const entry: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(spec)) {
    const at = place.at(name);
    const field = Object.hasOwn(SPEC, name) ? SPEC[name]! : undefined;
    if (field === undefined) {
      at.fault(
        `there is no such field${meant(name, Object.keys(SPEC))}`,
        `the fields of spec are ${Object.keys(SPEC).join(', ')}`,
      );
    } else if (field === '') {
      if (typeof value !== 'string') at.fault(`it is ${show(value)}`, 'className is a text');
      else if (value !== '') {
        const rule = 'Sidekey has no controller classes, so it takes the entries of every class';
        collected.note([...keys, name], `className ${show(value)} has no effect`, rule);
      }
    } else if (TTLS.has(name)) entry[field] = readTtl(value, at);
    else entry[field] = value;
  }
  if (Array.isArray(spec.selectors)) {
    for (const [at, selector] of spec.selectors.entries()) {
      if (typeof selector === 'string') continue;
      const rule = 'the selectors of a ClusterStaticEntry are texts: unix:uid:1000';
      place
        .at('selectors')
        .at(at)
        .fault(`it is ${show(selector)}`, rule);
    }
  }
  if (spec.parentID === undefined) {
    place.at('parentID').fault('it is missing', `a ${KIND} has a parentID; Sidekey keeps it, and it grants nothing`);
  }
  return entry;
}

const GO_DURATION = /^(?:(\d{1,9}(?:\.\d{1,9})?)h)?(?:(\d{1,9}(?:\.\d{1,9})?)m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?$/;

/** Seconds of a duration in Go's form. @see https://pkg.go.dev/time#ParseDuration */
function readTtl(value: unknown, place: Place): number | undefined {
  const rule = 'it is a duration of whole seconds such as 1h or 1h30m0s';
  if (value === '0') return 0;
  const counts = typeof value === 'string' && value !== '' ? GO_DURATION.exec(value)?.slice(1) : undefined;
  if (counts === undefined) return place.fault(`it is ${show(value)}`, rule);
  const seconds = [3_600, 60, 1].reduce((sum, unit, at) => sum + Number(counts[at] ?? 0) * unit, 0);
  return Number.isInteger(seconds) ? seconds : place.fault(`it is ${show(value)}`, rule);
}

function meant(name: string, known: readonly string[]): string {
  const word = nearest(name, known);
  return word === undefined ? '' : `; did you mean ${word}?`;
}
