/**
 * Reads the names that an Envoy accepts of its peers from Envoy's dump of its configuration.
 * @see envoy/extensions/transport_sockets/tls/v3/common.proto, SubjectAltNameMatcher
 */

/** A rule for a name of a certificate. */
export interface NameMatcher {
  /** The form of the rule, such as `exact` or `prefix`. */
  readonly form: string;
  readonly value: string;
}

/** Matchers in one configuration; more are left out. */
const MOST = 100;
/** Nesting of configurations; deeper ones are left out. */
const DEPTH = 32;
/** The fields that have matchers, the second one in configurations of earlier versions. */
const FIELDS: readonly string[] = ['match_typed_subject_alt_names', 'match_subject_alt_names'];

/** The rules anywhere in a cluster or listener. A certificate is accepted if one of its names fits one of them. */
export function matchersIn(config: unknown): NameMatcher[] {
  const found: NameMatcher[] = [];
  const look = (value: unknown, depth: number): void => {
    if (typeof value !== 'object' || value === null || depth > DEPTH || found.length >= MOST) return;
    for (const [name, inner] of Object.entries(value)) {
      if (FIELDS.includes(name) && Array.isArray(inner)) found.push(...inner.flatMap(matcherIn));
      else look(inner, depth + 1);
    }
  };
  look(config, 0);
  return found.slice(0, MOST);
}

function matcherIn(value: unknown): NameMatcher[] {
  const outer = value as { readonly matcher?: unknown } | null;
  const matcher = (outer?.matcher ?? outer) as Readonly<Record<string, unknown>> | null;
  for (const form of ['exact', 'prefix', 'suffix', 'contains']) {
    const text = matcher?.[form];
    if (typeof text === 'string') return [{ form, value: text }];
  }
  const regex = (matcher?.safe_regex as { readonly regex?: unknown } | undefined)?.regex;
  return typeof regex === 'string' ? [{ form: 'regex', value: regex }] : [];
}

/** Whether a name fits the rule; undefined if that is not known here. */
export function fits(name: string, { form, value }: NameMatcher): boolean | undefined {
  switch (form) {
    case 'exact':
      return name === value;
    case 'prefix':
      return name.startsWith(value);
    case 'suffix':
      return name.endsWith(value);
    case 'contains':
      return name.includes(value);
    default:
      return undefined;
  }
}

/** `exactly spiffe://example.org/web, or what begins with spiffe://example.org/db/`. At most five are named. */
export function describeMatchers(matchers: readonly NameMatcher[]): string {
  const unique = [...new Map(matchers.map((one) => [JSON.stringify(one), one])).values()];
  const shown = unique.slice(0, NAMED).map(({ form, value }) => WORDS[form]?.(value) ?? value);
  const more = unique.length - shown.length;
  return [...shown, ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

const NAMED = 5;
const WORDS: Readonly<Record<string, (value: string) => string>> = {
  exact: (value) => value,
  prefix: (value) => `${value}…`,
  suffix: (value) => `…${value}`,
  contains: (value) => `…${value}…`,
  regex: (value) => `the regular expression ${value}`,
};
