/**
 * Reads federation relationships from user input, under the names of the admin API or of SPIRE's federation.json.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Federation.md section 5.2
 */

import { X509Certificate } from 'node:crypto';
import { type Problem, SidekeyError } from '../base/index.ts';
import { parseSpiffeId, type SpiffeId, SpiffeIdError, type TrustDomain } from '../spiffe/index.ts';
import type { BundleRules } from './bundle-authorities.ts';
import { parseBundleDocument, parseBundlePem, parseForeignTrustDomain } from './bundle-input.ts';
import type { BundleInput } from './federated-bundle.ts';
import { readPemBlocks } from './pem-input.ts';
import { collect, Place, readObject, readText, show } from './place.ts';
import { ENDPOINT_PROFILES, type EndpointProfile, type RelationshipInput } from './relationship.ts';

/** A relationship, and the bundle by which the server knows an endpoint of https_spiffe at first. */
export interface GivenRelationship {
  readonly relationship: RelationshipInput;
  /** Of the relationship's trust domain. */
  readonly bundle: BundleInput | undefined;
}

export interface RelationshipRules {
  /** The server's trust domain. */
  readonly own: TrustDomain;
  readonly now: BundleRules['now'];
  readonly warn: BundleRules['warn'];
  /** The trust domain in the request's path; the body may repeat it. */
  readonly trustDomain?: TrustDomain;
}

/** Names of the fields, without case and underscores, by which `trustDomain`, `endpointSPIFFEID` and the like are found. */
const FIELDS = [
  'trust_domain',
  'bundle_endpoint_url',
  'bundle_endpoint_profile',
  'endpoint_spiffe_id',
  'endpoint_ca',
  'trust_domain_bundle',
  'trust_domain_bundle_format',
] as const;
type Field = (typeof FIELDS)[number];

const BODY_RULE = `a relationship has ${FIELDS.join(', ')}`;

/** @throws ERR_BAD_INPUT with every problem; paths are JSON pointers below `path` */
export function parseRelationship(value: unknown, rules: RelationshipRules, path = ''): GivenRelationship {
  return collect((problems) => {
    const place = new Place(path, problems);
    const body = readObject(value, place, BODY_RULE);
    if (body === undefined) return undefined;
    const members = fieldsOf(body, place);
    const at = (field: Field) => place.at(members.names.get(field) ?? field);
    const trustDomain = readDomain(members.values, at('trust_domain'), rules);
    const profile = readProfile(members.values.get('bundle_endpoint_profile'), at('bundle_endpoint_profile'));
    const url = readUrl(members.values.get('bundle_endpoint_url'), at('bundle_endpoint_url'));
    const spiffe = profile === 'https_spiffe';
    const endpointSpiffeId = readEndpointId(
      members.values.get('endpoint_spiffe_id'),
      at('endpoint_spiffe_id'),
      profile,
    );
    const endpointCa = readCa(members.values.get('endpoint_ca'), at('endpoint_ca'), profile);
    const bundle = trustDomain && readBundle(members.values, at, { ...rules, trustDomain });
    if (trustDomain === undefined || profile === undefined || url === undefined || problems.length > 0) {
      return undefined;
    }
    if (spiffe && endpointSpiffeId === undefined) return undefined;
    return { relationship: { trustDomain, url, profile, endpointSpiffeId, endpointCa }, bundle };
  });
}

interface Members {
  readonly values: ReadonlyMap<Field, unknown>;
  /** The names in the input. */
  readonly names: ReadonlyMap<Field, string>;
}

function fieldsOf(body: Record<string, unknown>, place: Place): Members {
  const values = new Map<Field, unknown>();
  const names = new Map<Field, string>();
  for (const [name, value] of Object.entries(body)) {
    const field = FIELDS.find((one) => plain(one) === plain(name));
    if (field === undefined) place.at(name).fault('there is no such field', BODY_RULE);
    else if (names.has(field)) place.at(name).fault(`it is ${names.get(field)} again`, 'each field is given once');
    else {
      names.set(field, name);
      // The API and SPIRE print what is absent as null or as an empty text.
      if (value !== null && value !== '') values.set(field, value);
    }
  }
  return { values, names };
}

function plain(name: string): string {
  return name.replaceAll('_', '').toLowerCase();
}

function readDomain(
  values: Members['values'],
  place: Place,
  { own, trustDomain: inPath }: RelationshipRules,
): TrustDomain | undefined {
  const value = values.get('trust_domain');
  if (value === undefined && inPath !== undefined) return inPath;
  const text = readText(value, place, 'it is the name of the trust domain: example.org');
  if (text === undefined) return undefined;
  const found = attempt(place, () => parseForeignTrustDomain(text, own));
  if (found === undefined || inPath === undefined || found === inPath) return found;
  return place.fault(`it is ${found}`, `the relationship in the path is that with ${inPath}`);
}

/** Runs a reader that throws, and records its faults here. */
function attempt<T>(place: Place, read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof SidekeyError)) throw thrown;
    for (const { problem, rule } of thrown.problems) place.fault(problem, rule);
    return undefined;
  }
}

const PROFILE_RULE = `it is ${ENDPOINT_PROFILES.join(' or ')}, which the operator of the endpoint says`;

function readProfile(value: unknown, place: Place): EndpointProfile | undefined {
  const profile = ENDPOINT_PROFILES.find((one) => one === value);
  return profile ?? place.fault(`it is ${show(value)}`, PROFILE_RULE);
}

const URL_RULE = 'it is an https URL with a host: https://spire.example.org:8443/bundle';
const MAX_URL = 2_048;

function readUrl(value: unknown, place: Place): string | undefined {
  if (typeof value !== 'string') return place.fault(`it is ${show(value)}`, URL_RULE);
  const fault = urlFault(value);
  // A password stays out of messages.
  return fault === undefined ? value : place.fault(fault.problem, fault.rule);
}

/**
 * What is wrong with the URL of an endpoint; undefined: nothing.
 * @see section 5.2.1.1
 */
export function urlFault(text: string): Omit<Problem, 'path'> | undefined {
  if (text.length > MAX_URL) {
    return { problem: `it has ${text.length} characters`, rule: `it has at most ${MAX_URL}` };
  }
  // A request line has only visible ASCII characters. Parsers disagree about backslashes.
  if (/[^\x21-\x7e]|\\/.test(text)) {
    return {
      problem: 'it has a blank, a backslash, or a character that is not visible ASCII',
      rule: 'write such characters in percent-encoding, and host names as ASCII (xn--…)',
    };
  }
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]+)/i.exec(text);
  if (parts === null || !URL.canParse(text)) return { problem: `it is ${show(text)}`, rule: URL_RULE };
  if (parts[1]!.toLowerCase() !== 'https') return { problem: `its scheme is ${show(parts[1])}`, rule: URL_RULE };
  if (parts[2]!.includes('@')) return { problem: 'it has a user name or password', rule: 'it has only host and port' };
  if (text.includes('#')) return { problem: 'it has a fragment (#…)', rule: 'a fragment is never sent: leave it out' };
  if (new URL(text).port === '0') return { problem: 'its port is 0', rule: 'a port is 1 to 65535' };
  return undefined;
}

function readEndpointId(value: unknown, place: Place, profile: EndpointProfile | undefined): SpiffeId | undefined {
  if (profile === 'https_web' && value !== undefined) {
    return place.fault('it is given', 'only endpoints of the profile https_spiffe have a SPIFFE ID');
  }
  if (profile !== 'https_spiffe') return undefined;
  const rule = 'https_spiffe needs the SPIFFE ID of the endpoint, such as spiffe://example.org/spire/server';
  const text = readText(value, place, rule);
  if (text === undefined) return undefined;
  try {
    return parseSpiffeId(text);
  } catch (thrown) {
    if (thrown instanceof SpiffeIdError) return place.fault(thrown.problem, thrown.rule);
    throw thrown;
  }
}

const MAX_CA = 64 * 1_024;
const CA_RULE = 'it is one or more certificates as PEM, by which the endpoint is known instead of the public CAs';

function readCa(value: unknown, place: Place, profile: EndpointProfile | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (profile === 'https_spiffe') {
    return place.fault('it is given', 'an endpoint of https_spiffe is known by the bundle of its trust domain');
  }
  const text = readText(value, place, CA_RULE);
  if (text === undefined) return undefined;
  if (text.length > MAX_CA) return place.fault(`it has ${text.length} characters`, `it has at most ${MAX_CA}`);
  const faults: Problem[] = [];
  const certificates: string[] = [];
  for (const { label, der, place: at } of readPemBlocks(text, faults)) {
    if (label !== 'CERTIFICATE') at.fault(`it is a block of the type ${show(label)}`, CA_RULE);
    else {
      try {
        certificates.push(new X509Certificate(der).toString());
      } catch {
        at.fault('it is no X.509 certificate', CA_RULE);
      }
    }
  }
  for (const { path, problem } of faults) place.fault(`${path}: ${problem}`, CA_RULE);
  if (faults.length > 0) return undefined;
  return certificates.length === 0 ? place.fault('it has no certificate', CA_RULE) : certificates.join('');
}

const FORMATS = ['pem', 'spiffe'] as const;
const FORMAT_RULE = 'trust_domain_bundle_format is pem (the bundle is a text) or spiffe (it is the JSON object)';

function readBundle(
  values: Members['values'],
  at: (field: Field) => Place,
  rules: RelationshipRules & { readonly trustDomain: TrustDomain },
): BundleInput | undefined {
  const bundle = values.get('trust_domain_bundle');
  const given = values.get('trust_domain_bundle_format');
  const format = FORMATS.find((one) => one === given);
  const place = at('trust_domain_bundle');
  if (given !== undefined && format === undefined) {
    return at('trust_domain_bundle_format').fault(`it is ${show(given)}`, FORMAT_RULE);
  }
  if (bundle === undefined) return undefined;
  // SPIRE refuses a bundle without a format; the form of the value says as much.
  const isText = typeof bundle === 'string';
  if (format !== undefined && (format === 'pem') !== isText) {
    return place.fault(`it is ${isText ? 'a text' : show(bundle)}`, FORMAT_RULE);
  }
  try {
    return isText ? parseBundlePem(bundle, rules) : parseBundleDocument(bundle, rules);
  } catch (thrown) {
    if (!(thrown instanceof SidekeyError)) throw thrown;
    for (const { path, problem, rule } of thrown.problems) {
      place.fault(path === '' ? problem : `${path}: ${problem}`, rule);
    }
    return undefined;
  }
}
