/** Readers for the fields of an entry. Each returns the value, or undefined after recording a fault. */

import { PLACEHOLDER_FORMS, placeholderOf } from '../attest/index.ts';
import { nearest, parseDuration } from '../base/index.ts';
import {
  EPOCH_TRUST_DOMAIN,
  EVERY_DOMAIN,
  isLikeTemplate,
  parseSpiffeId,
  parseTemplate,
  parseTrustDomain,
  pathOf,
  type SpiffeId,
  SpiffeIdError,
  SVID_KEY_TYPES,
  type SvidKeyType,
  type TemplateText,
  type TrustDomain,
  trustDomainId,
  trustDomainOf,
} from '../spiffe/index.ts';
import { EPOCH_RULE } from './bundle-input.ts';
import { DNS_NAME_RULE, dnsNameProblem } from './dns-name.ts';
import { snakeCase } from './entry-names.ts';
import type { EntryRules } from './entry-rules.ts';
import { parseRfc3339 } from './instant.ts';
import { type Place, readSet, readText, show } from './place.ts';

const ID_RULE = 'an id is 1 to 255 of the characters A-Z a-z 0-9 . _ -; without one the registry makes a UUID';

export function readId(value: unknown, place: Place): string | undefined {
  const text = readText(value, place, ID_RULE);
  return text === undefined || /^[A-Za-z0-9._-]{1,255}$/.test(text)
    ? text
    : place.fault(`it is ${show(text)}`, ID_RULE);
}

/** Reads the SPIFFE ID of an entry, or its template. */
export function readSpiffeIdOrTemplate(
  value: unknown,
  place: Place,
  rules: Pick<EntryRules, 'trustDomain'>,
): SpiffeId | TemplateText | undefined {
  const text = idText(value);
  return typeof text === 'string' && isLikeTemplate(text)
    ? readTemplate(text, place, rules)
    : readSpiffeId(value, place, rules);
}

const PLACEHOLDERS_RULE = `the placeholders are ${PLACEHOLDER_FORMS.map(({ form }) => `{${form}}`).join(', ')}, where KEY is the name of a label (letters, digits, . _ -)`;

function readTemplate(text: string, place: Place, rules: Pick<EntryRules, 'trustDomain'>): TemplateText | undefined {
  const template = attempt(place, () => parseTemplate(text));
  if (template === undefined) return undefined;
  const unknown = template.placeholders.find((name) => placeholderOf(name) === undefined);
  if (unknown !== undefined) {
    const meant = nearest(
      unknown,
      PLACEHOLDER_FORMS.map(({ form }) => form),
    );
    const hint = meant === undefined ? '' : `; did you mean {${meant}}?`;
    return place.fault(`there is no placeholder {${unknown}}${hint}`, PLACEHOLDERS_RULE);
  }
  if (template.trustDomain !== rules.trustDomain) return foreign(template.trustDomain, place, rules);
  const [first] = template.segments;
  if (typeof first !== 'string' || !isReservedSegment(first)) return template.text;
  return place.fault(`its path begins with /${first}`, 'a template renders nothing below /spire and /sidekey');
}

/**
 * The beginnings of paths that are reserved: for SPIRE's servers and agents, and for Sidekey's. In any case, since a
 * reader may not tell the cases apart.
 */
export function isReservedSegment(segment: string): boolean {
  return /^(?:spire|sidekey)$/i.test(segment);
}

const RESERVED_RULE = '/spire, /sidekey and all below them is reserved for the servers of the trust domain';

/** True for the path of a SPIFFE ID that a server of the trust domain can have, and no entry. */
export function isReservedPath(path: string): boolean {
  return /^\/(?:spire|sidekey)(?:\/|$)/.test(path);
}

export function readSpiffeId(
  value: unknown,
  place: Place,
  rules: Pick<EntryRules, 'trustDomain'>,
): SpiffeId | undefined {
  const id = readIdOfTrustDomain(value, place, rules);
  if (id === undefined) return undefined;
  const path = pathOf(id);
  if (!isReservedPath(path)) return id;
  return place.fault(`its path is ${show(path)}`, RESERVED_RULE);
}

export function readParentId(value: unknown, place: Place, rules: EntryRules): string | undefined {
  return value === '' ? '' : readIdOfTrustDomain(value, place, rules);
}

function readIdOfTrustDomain(
  value: unknown,
  place: Place,
  rules: Pick<EntryRules, 'trustDomain'>,
): SpiffeId | undefined {
  const rule = `it is a SPIFFE ID as one text, ${trustDomainId(rules.trustDomain)}/…, or an object with trust_domain and path`;
  const text = readText(idText(value), place, rule);
  const id = text === undefined ? undefined : attempt(place, () => parseSpiffeId(text));
  if (id === undefined || trustDomainOf(id) === rules.trustDomain) return id;
  return foreign(trustDomainOf(id), place, rules);
}

function foreign(trustDomain: TrustDomain, place: Place, rules: Pick<EntryRules, 'trustDomain'>): undefined {
  return place.fault(
    `its trust domain is ${trustDomain}`,
    `an entry is of this server's trust domain, ${rules.trustDomain}`,
  );
}

/** Joins the two parts that SPIRE's API and exports have; other values are unchanged. */
function idText(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const members = new Map(Object.entries(value).map(([name, member]) => [snakeCase(name), member as unknown]));
  const [trustDomain, path] = [members.get('trust_domain'), members.get('path') ?? ''];
  if (typeof trustDomain !== 'string' || typeof path !== 'string') return value;
  if (members.size !== (members.has('path') ? 2 : 1)) return value;
  // Without a slash in between, the path would become part of the trust domain.
  return path === '' || path.startsWith('/') ? `spiffe://${trustDomain}${path}` : value;
}

const MAX_TTL = 2 ** 31 - 1;
const TTL_RULE = `a TTL is seconds or a duration such as 90s, 1h30m or 7d, from 0 (the server's default) to ${MAX_TTL} seconds`;

export function readTtl(value: unknown, place: Place): number | undefined {
  const seconds = typeof value === 'string' ? parseDuration(value) : value;
  if (typeof seconds === 'number' && Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_TTL) {
    return unsigned(seconds);
  }
  return place.fault(`it is ${show(value)}`, TTL_RULE);
}

const KEY_TYPE_RULE = `a key type is one of ${SVID_KEY_TYPES.join(', ')}; absent, empty or default means the server's default`;

export function readKeyType(value: unknown, place: Place): SvidKeyType | '' | undefined {
  if (value === null || value === '' || value === 'default') return '';
  return SVID_KEY_TYPES.find((type) => type === value) ?? place.fault(`it is ${show(value)}`, KEY_TYPE_RULE);
}

/** A name that a caller could choose would let it answer for another host. */
const DNS_TEMPLATE_RULE = 'DNS names have no placeholders: every SVID of the entry has the same DNS names';

export function readDnsNames(value: unknown, place: Place): string[] | undefined {
  return readSet(value, place, 'dns_names is a list of DNS names', (element, at) => {
    const name = readText(element, at, DNS_NAME_RULE);
    if (name !== undefined && isLikeTemplate(name)) return at.fault(`it is ${show(name)}`, DNS_TEMPLATE_RULE);
    const problem = name === undefined ? undefined : dnsNameProblem(name);
    return problem === undefined ? name : at.fault(`${show(name)}: ${problem}`, DNS_NAME_RULE);
  });
}

export function readFederatesWith(value: unknown, place: Place, rules: EntryRules): TrustDomain[] | undefined {
  const domains = readSet(value, place, FEDERATES_RULE, (element, at) => {
    const text = readText(element, at, 'it is a trust domain: example.org or spiffe://example.org');
    if (text === undefined) return undefined;
    if (text === EVERY_DOMAIN) return text as TrustDomain;
    const trustDomain = attempt(at, () => parseTrustDomain(text.replace(/^spiffe:\/\//, '')));
    if (trustDomain === EPOCH_TRUST_DOMAIN) return at.fault(`it is ${show(text)}`, EPOCH_RULE);
    if (trustDomain !== rules.trustDomain) return trustDomain;
    return at.fault("it is the server's own trust domain", 'an entry federates with other trust domains');
  });
  if (domains === undefined || domains.length < 2 || !domains.includes(EVERY_DOMAIN as TrustDomain)) return domains;
  return place.fault(
    `it has ${EVERY_DOMAIN} and others`,
    `${EVERY_DOMAIN} stands for every known trust domain: give it alone`,
  );
}

const FEDERATES_RULE = `federates_with is a list of trust domains, or ["${EVERY_DOMAIN}"] for every known one`;

const MAX_HINT_LENGTH = 1024;
const HINT_RULE = `a hint is a text of at most ${MAX_HINT_LENGTH} characters, none of them a control character`;

export function readHint(value: unknown, place: Place): string | undefined {
  const text = readText(value, place, HINT_RULE);
  if (text === undefined) return undefined;
  if (text.length > MAX_HINT_LENGTH) return place.fault(`it has ${text.length} characters`, HINT_RULE);
  return /\p{Cc}/u.test(text) ? place.fault('it has a control character', HINT_RULE) : text;
}

const ALLOW_CONTAINED_RULE =
  'allow_contained is true or false: whether callers in containers may have an entry without a container selector';

export function readAllowContained(value: unknown, place: Place): boolean | undefined {
  return typeof value === 'boolean' ? value : place.fault(`it is ${show(value)}`, ALLOW_CONTAINED_RULE);
}

/** The end of the year 9999, the last that RFC 3339 can express. */
const MAX_EPOCH_SECONDS = 253_402_300_799;
const EXPIRES_AT_RULE =
  'it is an RFC 3339 time after 1970 (2030-01-31T12:00:00Z), or epoch seconds; 0, null or "never": never';

export function readExpiresAt(value: unknown, place: Place): number | undefined {
  if (value === null || value === 'never') return 0;
  // JSON from protobuf (SPIRE's exports) has 64-bit numbers as text.
  const seconds = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof seconds === 'number' && Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_EPOCH_SECONDS) {
    return unsigned(seconds) * 1000;
  }
  const instant = typeof value === 'string' ? parseRfc3339(value) : undefined;
  // The epoch itself would be 0, which means never.
  if (instant !== undefined && instant > 0 && instant < (MAX_EPOCH_SECONDS + 1) * 1000) return instant;
  return place.fault(`it is ${show(value)}`, EXPIRES_AT_RULE);
}

/** Converts -0, which JSON can contain, to 0. */
function unsigned(value: number): number {
  return Math.abs(value);
}

function attempt<T>(place: Place, parse: () => T): T | undefined {
  try {
    return parse();
  } catch (thrown) {
    if (thrown instanceof SpiffeIdError) return place.fault(thrown.problem, thrown.rule);
    throw thrown;
  }
}
