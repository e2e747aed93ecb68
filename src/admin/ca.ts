/** Routes for the authorities: their list with their states, and their rotation. */

import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { SidekeyError } from '../base/index.ts';
import type { AuthorityInfo, CertificateAuthority, LaggingProxy, UpstreamInfo } from '../ca/index.ts';
import type { ByOf } from './actor.ts';
import { readMember } from './body-member.ts';
import { AUTHORITIES, AUTHORITY_PARAMS, type AuthoritiesJson, CARRY, IMPORT, ROTATE } from './ca-schema.ts';
import { maybeTime, time } from './time.ts';

/** Maximum number of proxies that are listed per authority. */
const LISTED = 100;

export type AdminCa = Pick<
  CertificateAuthority,
  | 'bundle'
  | 'authorities'
  | 'rotate'
  | 'taint'
  | 'import'
  | 'carry'
  | 'drop'
  | 'upstream'
  | 'onMove'
  | 'revocationLists'
  | 'whyNotRevocable'
>;

export function addCaRoutes(app: FastifyInstance, ca: AdminCa, byOf: ByOf): void {
  app.get(
    '/v1/ca',
    { schema: { operationId: 'listAuthorities', summary: 'List the authorities', response: { 200: AUTHORITIES } } },
    () => listAuthorities(ca),
  );

  app.post(
    '/v1/ca/import',
    {
      schema: {
        operationId: 'importAuthority',
        errors: ['ERR_AUTHORITY_STATE', 'ERR_UPSTREAM', 'ERR_CA'],
        summary: 'Import the certificates that an offline root signed for the request',
        body: IMPORT,
        response: { 200: AUTHORITIES },
      },
    },
    async (request) => {
      await ca.import(readCertificates(request.body, IMPORT_RULE), byOf(request));
      return listAuthorities(ca);
    },
  );

  app.post(
    '/v1/ca/carried',
    {
      schema: {
        operationId: 'carryRoots',
        errors: ['ERR_AUTHORITY_STATE', 'ERR_ROTATION_LIMIT', 'ERR_CA'],
        summary:
          'Put roots of another server of this trust domain into the bundle until a time, so that workloads of both accept each other; of those that are carried already, change the time',
        body: CARRY,
        response: { 200: AUTHORITIES },
      },
    },
    async (request) => {
      await ca.carry(readCertificates(request.body, CARRY_RULE, ['until']), readUntil(request.body), byOf(request));
      return listAuthorities(ca);
    },
  );

  app.delete<{ Params: Static<typeof AUTHORITY_PARAMS> }>(
    '/v1/ca/carried/:id',
    {
      schema: {
        operationId: 'dropCarriedRoot',
        errors: ['ERR_NOT_FOUND', 'ERR_CA'],
        summary: 'Take a carried root out of the bundle',
        params: AUTHORITY_PARAMS,
        response: { 200: AUTHORITIES },
      },
    },
    async (request) => {
      await ca.drop(request.params.id, byOf(request));
      return listAuthorities(ca);
    },
  );

  app.post<{ Params: Static<typeof AUTHORITY_PARAMS> }>(
    '/v1/ca/:id/taint',
    {
      schema: {
        operationId: 'taintAuthority',
        errors: ['ERR_AUTHORITY_STATE', 'ERR_UPSTREAM', 'ERR_CA'],
        summary:
          'Declare that the key of an authority may have leaked: the authority signs nothing more, all SVIDs are reissued, and its root leaves the bundle within seconds; a JWT key leaves it at once',
        params: AUTHORITY_PARAMS,
        response: { 200: AUTHORITIES },
      },
    },
    async (request) => {
      await ca.taint(request.params.id, byOf(request));
      return listAuthorities(ca);
    },
  );

  app.post(
    '/v1/ca/rotate',
    {
      schema: {
        operationId: 'rotateAuthority',
        errors: ['ERR_ROTATION_LIMIT', 'ERR_AUTHORITY_STATE', 'ERR_UPSTREAM', 'ERR_CA'],
        summary:
          'Replace an authority: the intermediate at once; the root by one that is published now and signs once all proxies have it; the JWT key by the published one, once that was published for long enough',
        body: ROTATE,
        response: { 200: AUTHORITIES },
      },
    },
    async (request) => {
      await ca.rotate(readRole(request.body), byOf(request));
      return listAuthorities(ca);
    },
  );
}

function readRole(body: unknown): AuthorityInfo['role'] {
  const rule = 'the body is {"role":"intermediate"}, {"role":"root"} or {"role":"jwt"}';
  const role = readMember(body, 'role', rule);
  if (role === 'intermediate' || role === 'root' || role === 'jwt') return role;
  throw SidekeyError.badInput([{ path: '/role', problem: 'it is not a role of an authority', rule }]);
}

/**
 * The authorities and their upstream, as `GET /v1/ca` answers.
 * @param listed maximum number of proxies per authority
 */
export function listAuthorities(ca: Pick<AdminCa, 'authorities' | 'upstream'>, listed = LISTED): AuthoritiesJson {
  const upstream = ca.upstream();
  return {
    authorities: ca.authorities().map((authority) => ({
      id: authority.id,
      role: authority.role,
      key_type: authority.keyType ?? null,
      state: authority.state,
      since: time(authority.since),
      not_before: time(authority.notBefore),
      not_after: time(authority.notAfter),
      subject: authority.subject,
      is_upstreams: authority.isUpstreams,
      signs_after: maybeTime(authority.signsAfter),
      fetched_at: maybeTime(authority.fetchedAt),
      leaves_at: maybeTime(authority.leavesAt),
      waits_for: Iterator.from(authority.waitsFor).take(listed).map(proxyJson).toArray(),
    })),
    upstream: upstream === undefined ? null : upstreamJson(upstream),
  };
}

function upstreamJson({
  kind,
  description,
  problem,
  signsMeanwhile,
  request,
}: UpstreamInfo): NonNullable<AuthoritiesJson['upstream']> {
  const open = request === undefined ? null : { file: request.file, csr: request.csr };
  return { kind, description, problem: problem ?? null, signs_meanwhile: signsMeanwhile, request: open };
}

const IMPORT_RULE = 'the body is {"certificates":"PEM text"}, with the signed certificate and those above it';
const CARRY_RULE = 'the body is {"certificates":"PEM text","until":"2027-01-31T00:00:00Z"}';

/** Milliseconds since the epoch. */
function readUntil(body: unknown): number {
  const until = readMember(body, 'until', CARRY_RULE, ['certificates']);
  const instant = typeof until === 'string' && RFC3339.test(until) ? Date.parse(until) : Number.NaN;
  if (!Number.isNaN(instant)) return instant;
  throw SidekeyError.badInput([{ path: '/until', problem: 'it is not a time of RFC 3339', rule: CARRY_RULE }]);
}

const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

function readCertificates(body: unknown, rule: string, others?: readonly string[]): string {
  const certificates = readMember(body, 'certificates', rule, others);
  if (typeof certificates === 'string') return certificates;
  throw SidekeyError.badInput([{ path: '/certificates', problem: 'it is not a string', rule }]);
}

function proxyJson({ node, rejection, ...proxy }: LaggingProxy): AuthoritiesJson['authorities'][0]['waits_for'][0] {
  return { ...proxy, node_id: node ?? null, rejection: rejection ?? null };
}
