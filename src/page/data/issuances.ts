/** Issued certificates and tokens, as the page asks for them. */

import type { Revocation } from '../../gen/admin-api.ts';
import { json, withQuery } from '../shell/api.ts';

export interface Issuance {
  readonly issuance: number;
  readonly kind: 'x509' | 'jwt';
  readonly serial: string;
  readonly spiffe_id: string;
  readonly entry_id: string;
  readonly authority_id: string;
  readonly issued_at: string;
  readonly not_before: string;
  readonly expires_at: string;
  readonly revoked: Pick<Revocation, 'reason' | 'revoked_at'> | null;
}

export interface IssuancePage {
  readonly issuances: readonly Issuance[];
  readonly next_cursor: string;
}

/** Issuances of one page. */
const PAGE = 100;

/** Reads a page by the filters of the address. A SPIFFE ID with an asterisk at its end stands for all that begin so. */
export function readIssuances(query: URLSearchParams): Promise<IssuancePage> {
  const filters = Object.fromEntries(
    ['serial', 'entry_id', 'kind', 'since', 'until', 'cursor'].map((name) => [name, query.get(name) ?? undefined]),
  );
  const id = query.get('spiffe_id') ?? undefined;
  const byId = id?.endsWith('*') === true ? { spiffe_id_prefix: id.slice(0, -1) } : { spiffe_id: id };
  return json<IssuancePage>('GET', withQuery('/v1/issuances', { ...filters, ...byId, limit: PAGE }));
}
