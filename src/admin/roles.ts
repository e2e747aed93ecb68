/** The least role that each route needs: the one place that decides, for access control, OpenAPI and docs/api.md. */

import type { Role } from '../base/index.ts';

/** `open`: no token is needed. The Unix socket has the role admin. */
export type Needs = Role | 'open';

const ROUTES: Readonly<Record<string, Needs>> = {
  'GET /healthz': 'open',
  'GET /readyz': 'open',
  'GET /metrics': 'metrics',
  'GET /openapi.json': 'metrics',
  'GET /v1/entries': 'read',
  'GET /v1/entries/:id': 'read',
  'POST /v1/entries': 'entries',
  // It changes nothing.
  'POST /v1/entries/preview': 'read',
  'PUT /v1/entries': 'entries',
  'PATCH /v1/entries/:id': 'entries',
  'DELETE /v1/entries/:id': 'entries',
  'GET /v1/revocations': 'read',
  // The role that may delete an entry may also revoke the certificates of the entry.
  'POST /v1/revocations': 'entries',
  'DELETE /v1/revocations/:serial': 'entries',
  'GET /v1/aliases': 'read',
  'GET /v1/aliases/:host': 'read',
  'PUT /v1/aliases/:host': 'entries',
  'DELETE /v1/aliases/:host': 'entries',
  'GET /v1/bundle': 'read',
  'GET /v1/jwks': 'read',
  'GET /v1/bundles': 'read',
  'GET /v1/bundles/:trust_domain': 'read',
  // A bundle decides whom workloads trust.
  'PUT /v1/bundles/:trust_domain': 'admin',
  'DELETE /v1/bundles/:trust_domain': 'admin',
  'GET /v1/federation': 'read',
  'GET /v1/federation/:trust_domain': 'read',
  // A relationship decides whom workloads trust, and what addresses the server asks.
  'POST /v1/federation': 'admin',
  'PUT /v1/federation/:trust_domain': 'admin',
  'DELETE /v1/federation/:trust_domain': 'admin',
  'POST /v1/federation/:trust_domain/refresh': 'admin',
  'GET /v1/ca': 'read',
  'POST /v1/ca/rotate': 'admin',
  'POST /v1/ca/import': 'admin',
  // Who has the key of a carried root can be any workload of the trust domain.
  'POST /v1/ca/carried': 'admin',
  'DELETE /v1/ca/carried/:id': 'admin',
  'POST /v1/ca/:id/taint': 'admin',
  // It has the addresses and attempts of everybody, refused ones too, which are no business of who reads entries.
  'GET /v1/audit': 'admin',
  // Only on the Unix socket: it has the keys.
  'POST /v1/backup': 'admin',
  // The code is the right, so it needs no other.
  'POST /v1/page/session': 'open',
  'GET /v1/page/session': 'read',
  'DELETE /v1/page/session': 'read',
  'POST /v1/page/links': 'read',
  'GET /v1/page/sessions': 'read',
  'DELETE /v1/page/sessions/:id': 'read',
  'GET /v1/page/overview': 'read',
  'GET /v1/page/proxies': 'read',
  'GET /v1/page/events': 'read',
  'GET /v1/proxies': 'read',
  'GET /v1/issuances': 'read',
  'GET /v1/decisions': 'read',
  'GET /v1/decisions/:id': 'read',
  'GET /v1/explain': 'read',
  'GET /v1/doctor': 'read',
  'GET /v1/events': 'read',
  'GET /v1/log-level': 'read',
  'PUT /v1/log-level': 'admin',
  'GET /v1/agents': 'read',
  'GET /v1/agents/:id': 'read',
  'GET /v1/agents/:id/proxies': 'read',
  'GET /v1/agents/:id/explain': 'read',
  'GET /v1/agents/:id/decisions': 'read',
  'GET /v1/agents/:id/doctor': 'read',
  // Who has a token or decides about agents decides which hosts get identities.
  'POST /v1/agents/tokens': 'admin',
  'POST /v1/agents/:id/ban': 'admin',
  'DELETE /v1/agents/:id': 'admin',
  'GET /v1/tokens': 'admin',
  'POST /v1/tokens': 'admin',
  'DELETE /v1/tokens/:name': 'admin',
};

/** Files of the page, which are the same for everybody; the OpenAPI document does not have them. */
const FILES: ReadonlySet<string> = new Set(['GET /', 'GET /ui/*', 'GET /assets/:file']);

/** What a path that does not exist needs: any token, so that a caller without one learns nothing. */
export const NEEDS_OF_UNKNOWN: Role = 'metrics';

/** @param method HEAD needs what GET needs @throws Error for a route that is not in the table */
export function needsOf(method: string, url: string): Needs {
  const route = `${method === 'HEAD' ? 'GET' : method} ${url}`;
  const needs = FILES.has(route) ? 'open' : ROUTES[route];
  if (needs === undefined) throw new Error(`src/admin/roles.ts does not say which role ${method} ${url} needs`);
  return needs;
}

/** The routes of the table: `GET /v1/entries/:id`. */
export const ROLE_ROUTES: readonly string[] = Object.keys(ROUTES);
