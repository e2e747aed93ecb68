/** Names of fields in user input: snake case, with camel case accepted. */

/** `x509_svid_ttl` for `x509SvidTtl`, `spiffe_id` for `spiffeID`; other names are unchanged. */
export function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]+/g, (letters, at) => `${at === 0 ? '' : '_'}${letters.toLowerCase()}`);
}

/** A field next to the entries in `spire-server entry show -output json`; empty in a complete export. */
export const PAGE_TOKEN = 'next_page_token';
export const PAGE_TOKEN_RULE = 'more entries follow on the next page: give a file that has them all';
