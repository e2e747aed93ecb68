/**
 * What an Envoy does with bundles that have revocation lists. The design of revocation stands on these tables.
 *
 * A bundle has the blocks that its row names (`pki.ts`): R and R2 are roots, I and J are intermediates under R, I2 is
 * one under R2, CRL(I) is the list of I that revokes a leaf, and so on. A cell is `ok`, or the alert with which a plain
 * context refuses a client. The SPIFFE validator refuses the same clients, always with `certificate_unknown`. As a
 * client, Envoy refuses the same servers.
 */

import { LEAVES } from './pki.ts';

/** A push, and its outcomes by the heads of their columns. */
export interface Row<Head extends string> {
  readonly push: string;
  readonly cells: Readonly<Partial<Record<Head, string>>>;
}

/** With one list in the bundle, every authority of a path needs one that is current. */
export const EVERY_AUTHORITY = readTable(
  `
| bundle                     | leaf of I           | revoked leaf of I   | leaf of R           | revoked leaf of R   |
| R                          | ok                  | ok                  | ok                  | ok                  |
| R + CRL(R)                 | unknown_ca          | unknown_ca          | ok                  | certificate_revoked |
| R + CRL(I)                 | unknown_ca          | certificate_revoked | unknown_ca          | unknown_ca          |
| R + CRL(R) + CRL(I)        | ok                  | certificate_revoked | ok                  | certificate_revoked |
| R + CRL(R) + past CRL(I)   | certificate_expired | certificate_expired | ok                  | certificate_revoked |
| R + past CRL(R) + CRL(I)   | certificate_expired | certificate_revoked | certificate_expired | certificate_expired |
| R + CRL(R) + future CRL(I) | certificate_expired | certificate_expired | ok                  | certificate_revoked |
| R + future CRL(R) + CRL(I) | certificate_expired | certificate_revoked | certificate_expired | certificate_expired |
| R + I + CRL(I)             | unknown_ca          | certificate_revoked | unknown_ca          | unknown_ca          |
| R + CRL(R) with I + CRL(I) | certificate_revoked | certificate_revoked | ok                  | certificate_revoked |
| R + CRL(R) + empty CRL(I)  | ok                  | ok                  | ok                  | certificate_revoked |
| R + CRL(R) + hold CRL(I)   | ok                  | certificate_revoked | ok                  | certificate_revoked |
`,
  LEAVES,
);

/** With `only_verify_leaf_cert_crl` the leaf's issuer alone needs a list, and a revoked intermediate is missed. */
export const LEAF_ONLY = readTable(
  `
| bundle                     | leaf of I           | revoked leaf of I   | leaf of R           | revoked leaf of R   |
| R                          | ok                  | ok                  | ok                  | ok                  |
| R + CRL(R)                 | unknown_ca          | unknown_ca          | ok                  | certificate_revoked |
| R + CRL(I)                 | ok                  | certificate_revoked | unknown_ca          | unknown_ca          |
| R + CRL(R) + CRL(I)        | ok                  | certificate_revoked | ok                  | certificate_revoked |
| R + CRL(R) + past CRL(I)   | certificate_expired | certificate_expired | ok                  | certificate_revoked |
| R + past CRL(R) + CRL(I)   | ok                  | certificate_revoked | certificate_expired | certificate_expired |
| R + I + CRL(I)             | ok                  | certificate_revoked | unknown_ca          | unknown_ca          |
| R + CRL(R) with I + CRL(I) | ok                  | certificate_revoked | ok                  | certificate_revoked |
`,
  LEAVES,
);

/**
 * While roots or intermediates overlap, leaves of a new one are refused until all lists of their path are there. Lists
 * of authorities that are gone do no harm.
 */
export const OVERLAP = readTable(
  `
| bundle                                                | leaf of I  | leaf of J  | leaf of R2 | leaf of I2 | revoked leaf of I2  |
| R + R2                                                | ok         | ok         | ok         | ok         | ok                  |
| R + R2 + CRL(R) + CRL(I)                              | ok         | unknown_ca | unknown_ca | unknown_ca | unknown_ca          |
| R + R2 + CRL(R) + CRL(I) + CRL(J)                     | ok         | ok         | unknown_ca | unknown_ca | unknown_ca          |
| R + R2 + CRL(R) + CRL(I) + CRL(J) + CRL(R2)           | ok         | ok         | ok         | unknown_ca | unknown_ca          |
| R + R2 + CRL(R) + CRL(I) + CRL(J) + CRL(I2)           | ok         | ok         | unknown_ca | unknown_ca | certificate_revoked |
| R + R2 + CRL(R) + CRL(I) + CRL(J) + CRL(R2) + CRL(I2) | ok         | ok         | ok         | ok         | certificate_revoked |
| R2 + CRL(R) + CRL(I) + CRL(J) + CRL(R2) + CRL(I2)     | unknown_ca | unknown_ca | ok         | ok         | certificate_revoked |
`,
  LEAVES,
);

/** Of two lists of one authority the newer one counts; of two of the same second the first one. */
export const TWO_LISTS = readTable(
  `
| bundle                                   | leaf of I | revoked leaf of I   |
| R + CRL(R) + older empty CRL(I) + CRL(I) | ok        | certificate_revoked |
| R + CRL(R) + CRL(I) + older empty CRL(I) | ok        | certificate_revoked |
| R + CRL(R) + older CRL(I) + empty CRL(I) | ok        | ok                  |
| R + CRL(R) + empty CRL(I) + older CRL(I) | ok        | ok                  |
| R + CRL(R) + CRL(I) + empty CRL(I)       | ok        | certificate_revoked |
| R + CRL(R) + empty CRL(I) + CRL(I)       | ok        | ok                  |
`,
  LEAVES,
);

/** Validator and source of the session ticket keys of a listener. */
const SESSION_LISTENERS = [
  'spiffe, none',
  'spiffe, file',
  'spiffe, SDS',
  'plain, none',
  'plain, file',
  'plain, SDS',
] as const;
export type SessionListener = (typeof SESSION_LISTENERS)[number];

/**
 * A client has a session that began before the second push, which revokes its certificate. `resumed`: Envoy accepts
 * the session and looks at no certificate. `accepted`: Envoy verifies the certificate, which is no longer revoked.
 *
 * With configured ticket keys, a listener with the SPIFFE validator ends sessions only if the set of authorities or the
 * keys change, and a set that the bundle had before revives them. So each list comes with a new authority (an epoch),
 * in a trust domain that nobody can have. An epoch must stay when the lists leave, or older sessions revive; a plain
 * context revives them too.
 */
export const SESSIONS = readTable(
  `
| push                          | spiffe, none | spiffe, file | spiffe, SDS | plain, none | plain, file | plain, SDS |
| nothing                       | resumed      | resumed      | resumed     | resumed     | resumed     | resumed    |
| R + CRL(R) + CRL(I)           | refused      | resumed      | resumed     | refused     | refused     | refused    |
| another server certificate    | refused      | resumed      | resumed     | refused     | refused     | refused    |
| R + CRL(R) + CRL(I) + epoch 1 | refused      | refused      | refused     | refused     | refused     | refused    |
| R + CRL(R) + CRL(I)           | refused      | resumed      | resumed     | refused     | refused     | refused    |
| R + CRL(R) + CRL(I) + epoch 2 | refused      | refused      | refused     | refused     | refused     | refused    |
| R                             | accepted     | resumed      | resumed     | accepted    | resumed     | resumed    |
| R + epoch 2                   | accepted     | accepted     | accepted    | accepted    | accepted    | accepted   |
`,
  SESSION_LISTENERS,
);

/** A client has a session that began with epoch 1, which must not stay beside the next list, nor come back. */
export const EPOCHS = readTable(
  `
| push                          | spiffe, none | spiffe, file | spiffe, SDS |
| R + CRL(R) + CRL(I) + epoch 1 | refused      | resumed      | resumed     |
| R + CRL(R) + CRL(I) + epoch 2 | refused      | refused      | refused     |
| R + CRL(R) + CRL(I) + epoch 1 | refused      | resumed      | resumed     |
| other ticket keys             | refused      | resumed      | refused     |
| R + CRL(R) + CRL(I) + epoch 3 | refused      | refused      | refused     |
`,
  SESSION_LISTENERS,
);

/** @param text lines of cells between bars: the heads, then the rows */
function readTable<Head extends string>(text: string, known: readonly Head[]): Row<Head>[] {
  const [[, ...heads] = [], ...rows] = text
    .trim()
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map((cells) => cells.slice(1, -1));
  const columns = heads.map((head) => {
    const column = known.find((name) => name === head);
    if (column === undefined) throw new Error(`unknown column ${head}`);
    return column;
  });
  return rows.map(([push = '', ...cells]) => {
    const entries = columns.map((column, i) => [column, cells[i]!] as const);
    return { push, cells: Object.fromEntries(entries) as Partial<Record<Head, string>> };
  });
}
