/**
 * Templates of SPIFFE IDs: `spiffe://ilinux.io/{docker.compose_project}/{docker.compose_service}`. A placeholder stands
 * for one whole path segment, so no value can add or remove segments, and two placeholders never run into each other.
 * SPIFFE IDs contain no braces, so a template is never mistaken for one.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md section 2.2
 */

import {
  MAX_ID_BYTES,
  parseSpiffeId,
  parseTrustDomain,
  pathOf,
  type SpiffeId,
  SpiffeIdError,
  segmentProblem,
  type TrustDomain,
  trustDomainOf,
} from './id.ts';

/** The text of a template that {@link parseTemplate} accepted. */
export type TemplateText = string & { readonly __brand: 'SpiffeIdTemplate' };

/** A segment of a template's path: a text, or a placeholder by its name (`docker.compose_service`). */
export type TemplateSegment = string | { readonly placeholder: string };

export interface SpiffeIdTemplate {
  readonly text: TemplateText;
  readonly trustDomain: TrustDomain;
  readonly segments: readonly TemplateSegment[];
  /** The names of its placeholders, without duplicates, in their order. */
  readonly placeholders: readonly string[];
}

/** Maximum length of a value that fills a placeholder, in bytes. */
export const MAX_VALUE_BYTES = 255;

const SCHEME = 'spiffe://';
const TEMPLATE_RULE =
  'a placeholder such as {unix.user} fills a whole path segment: spiffe://<trust domain>/services/{docker.compose_service}';

/** True if a text has a brace, as templates have and SPIFFE IDs have not. */
export function isLikeTemplate(text: string): boolean {
  return text.includes('{') || text.includes('}');
}

/** True for the template of an entry, false for a SPIFFE ID. */
export function isTemplate(id: SpiffeId | TemplateText): id is TemplateText {
  return id.includes('{');
}

/** The trust domain of a SPIFFE ID or template. */
export function trustDomainOfEither(id: SpiffeId | TemplateText): TrustDomain {
  return isTemplate(id) ? parseTemplate(id).trustDomain : trustDomainOf(id);
}

/** Reads a SPIFFE ID or template. @throws {SpiffeIdError} */
export function parseIdOrTemplate(text: string): SpiffeId | TemplateText {
  return isLikeTemplate(text) ? parseTemplate(text).text : parseSpiffeId(text);
}

/** Reads a template, which has at least one placeholder. Does not check that placeholders exist. @throws {SpiffeIdError} */
export function parseTemplate(text: string): SpiffeIdTemplate {
  if (text.length > MAX_ID_BYTES) {
    throw new SpiffeIdError(`it has ${text.length} characters`, `a template has at most ${MAX_ID_BYTES} bytes`);
  }
  if (!text.startsWith(SCHEME)) {
    throw new SpiffeIdError('the scheme is missing or not spiffe', 'a SPIFFE ID begins with spiffe:// in lower case');
  }
  const slash = text.indexOf('/', SCHEME.length);
  const domain = slash === -1 ? text.slice(SCHEME.length) : text.slice(SCHEME.length, slash);
  if (isLikeTemplate(domain)) throw new SpiffeIdError('its trust domain has a brace', TEMPLATE_RULE);
  const trustDomain = parseTrustDomain(domain);
  const segments =
    slash === -1
      ? []
      : text
          .slice(slash + 1)
          .split('/')
          .map(readSegment);
  const placeholders = segments.flatMap((segment) => (typeof segment === 'string' ? [] : [segment.placeholder]));
  if (placeholders.length === 0) throw new SpiffeIdError('it has no placeholder', TEMPLATE_RULE);
  return { text: text as TemplateText, trustDomain, segments, placeholders: [...new Set(placeholders)] };
}

function readSegment(text: string): TemplateSegment {
  const placeholder = /^\{([^{}]*)\}$/.exec(text)?.[1];
  if (placeholder === '') throw new SpiffeIdError('it has the placeholder {} without a name', TEMPLATE_RULE);
  if (placeholder !== undefined) return { placeholder };
  const shown = JSON.stringify(text.slice(0, 80));
  if (isLikeTemplate(text)) throw new SpiffeIdError(`the segment ${shown} has a brace inside`, TEMPLATE_RULE);
  const problem = segmentProblem(text);
  if (problem !== undefined) throw new SpiffeIdError(`the segment ${shown}: ${problem.problem}`, problem.rule);
  return text;
}

/**
 * Fills the placeholders.
 * @param valueFor the value of a placeholder; it is checked as one path segment
 * @throws {SpiffeIdError} if a value is no segment or too long, or the whole would be too long
 */
export function renderTemplate(
  { trustDomain, segments }: SpiffeIdTemplate,
  valueFor: (name: string) => string,
): SpiffeId {
  let id = SCHEME + trustDomain;
  for (const segment of segments) id += `/${typeof segment === 'string' ? segment : checked(segment, valueFor)}`;
  if (id.length > MAX_ID_BYTES) {
    throw new SpiffeIdError(`the SPIFFE ID would have ${id.length} bytes`, `it has at most ${MAX_ID_BYTES} bytes`);
  }
  return id as SpiffeId;
}

function checked({ placeholder }: { readonly placeholder: string }, valueFor: (name: string) => string): string {
  const value = valueFor(placeholder);
  if (value.length > MAX_VALUE_BYTES) {
    throw new SpiffeIdError(
      `the value of {${placeholder}} has ${value.length} characters`,
      `a value has at most ${MAX_VALUE_BYTES}`,
    );
  }
  const problem = segmentProblem(value);
  if (problem === undefined) return value;
  throw new SpiffeIdError(
    `the value of {${placeholder}}, ${JSON.stringify(value.slice(0, 80))}, is no path segment: ${problem.problem}`,
    problem.rule,
  );
}

/** True if the template renders this SPIFFE ID for some values. */
export function couldRender({ trustDomain, segments }: SpiffeIdTemplate, id: SpiffeId): boolean {
  if (trustDomainOf(id) !== trustDomain) return false;
  const parts = pathOf(id).slice(1).split('/');
  if (parts.length !== segments.length) return false;
  return segments.every((segment, at) =>
    typeof segment === 'string' ? segment === parts[at] : parts[at]!.length <= MAX_VALUE_BYTES,
  );
}
