/** Checks DNS names for certificates. */

const MAX_NAME = 253;
const MAX_LABEL = 63;

/** The rule that {@link dnsNameProblem} checks. */
export const DNS_NAME_RULE =
  'a DNS name is labels of a-z 0-9 - (lower case, 1 to 63 characters, no - at an end or at both places 3 and 4), with single dots between; the first may be *';

/**
 * The problem of a DNS name; undefined if it is valid. The rules are SPIRE's: letters, digits and hyphens as in strict
 * IDNA (UTS 46), no characters that a mapping would change, no Punycode.
 */
export function dnsNameProblem(name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (name.length > MAX_NAME) return `it has ${name.length} characters, more than ${MAX_NAME}`;
  if (name.endsWith('.')) return 'it ends with a dot';
  const wildcard = name.startsWith('*.');
  if (name.slice(wildcard ? 1 : 0).includes('*')) return 'it has a * that is not the whole first label before others';
  for (const label of name.slice(wildcard ? 2 : 0).split('.')) {
    if (label === '') return 'it has an empty label';
    if (label.length > MAX_LABEL) return `its label "${label}" has ${label.length} characters, more than ${MAX_LABEL}`;
    if (!/^[a-z0-9-]+$/.test(label)) return `its label ${JSON.stringify(label)} has a character that is not allowed`;
    if (label.startsWith('-') || label.endsWith('-')) return `its label "${label}" begins or ends with -`;
    if (label.startsWith('--', 2)) return `its label "${label}" has -- at places 3 and 4`;
  }
  return undefined;
}
