/** The names of fields as people write them: Sidekey's are in snake case, and camel case is understood. */

/** `x509_svid_ttl` for `x509SvidTtl`, `spiffe_id` for `spiffeID`; other names stay as they are. */
export function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]+/g, (letters, at) => `${at === 0 ? '' : '_'}${letters.toLowerCase()}`);
}

/** A field beside the entries of `spire-server entry show -output json`; empty in a whole export. */
export const PAGE_TOKEN = 'next_page_token';
export const PAGE_TOKEN_RULE = 'more entries follow on the next page: give a file that has them all';
