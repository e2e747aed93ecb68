/** Routes for federation relationships. */

import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Static } from 'typebox';
import { type Clock, includesRole, type Problem } from '../base/index.ts';
import type { Federation, RelationshipView } from '../federation/index.ts';
import {
  bundleEnd,
  type FederatedBundle,
  type GivenRelationship,
  parseForeignTrustDomain,
  parseRelationship,
  type Registry,
  relationshipToJson,
} from '../registry/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import type { Requester } from './access.ts';
import type { ByOf } from './actor.ts';
import { readIfMatch } from './entry-requests.ts';
import * as schema from './federation-schema.ts';
import { IF_MATCH, NOTHING } from './schema.ts';
import { maybeTime, time } from './time.ts';

export interface FederationRoutesParts {
  readonly registry: Pick<Registry, 'trustDomain'>;
  readonly federation: Federation;
  readonly clock: Clock;
}

type Params = Static<typeof schema.RELATIONSHIP_PARAMS>;
type SetQuery = Static<typeof schema.SET_RELATIONSHIP_QUERY>;

export function addFederationRoutes(app: FastifyInstance, parts: FederationRoutesParts, byOf: ByOf): void {
  const { registry, federation, clock } = parts;
  const domainOf = ({ trust_domain: text }: Params) => parseForeignTrustDomain(text, registry.trustDomain);
  const read = (body: unknown, trustDomain?: TrustDomain): { given: GivenRelationship; warnings: Problem[] } => {
    const warnings: Problem[] = [];
    const warn = (warning: Problem) => void warnings.push(warning);
    const rules = { own: registry.trustDomain, now: clock.now(), warn };
    return { given: parseRelationship(body, trustDomain ? { ...rules, trustDomain } : rules), warnings };
  };

  app.get(
    '/v1/federation',
    {
      schema: {
        operationId: 'listRelationships',
        summary: 'List federation relationships by trust domain, with what is known of their bundles',
        response: { 200: schema.RELATIONSHIPS },
      },
    },
    () => ({ relationships: federation.list().map((view) => viewJson(view, 'redacted')) }),
  );

  app.get<{ Params: Params }>(
    '/v1/federation/:trust_domain',
    {
      schema: {
        operationId: 'getRelationship',
        errors: ['ERR_NOT_FOUND'],
        summary: 'Show a federation relationship',
        params: schema.RELATIONSHIP_PARAMS,
        response: { 200: schema.RELATIONSHIP },
      },
    },
    ({ params, requester }, reply) => send(reply, federation.get(domainOf(params)), shownTo(requester)),
  );

  app.post(
    '/v1/federation',
    {
      schema: {
        operationId: 'createRelationship',
        errors: ['ERR_RELATIONSHIP'],
        summary: 'Create a federation relationship, and fetch once; a failed fetch is in the warnings',
        body: schema.RELATIONSHIP_INPUT,
        response: { 201: schema.CHANGED_RELATIONSHIP },
      },
    },
    async (request, reply) => {
      const { given, warnings } = read(request.body);
      const outcome = await federation.set(given, { as: 'create', bundle: 'replace', by: byOf(request) });
      return send(reply.code(201), outcome.view, 'whole', changeJson(outcome, warnings));
    },
  );

  app.put<{ Params: Params; Querystring: SetQuery }>(
    '/v1/federation/:trust_domain',
    {
      schema: {
        operationId: 'setRelationship',
        errors: ['ERR_NOT_FOUND', 'ERR_REVISION'],
        summary: 'Create or replace a federation relationship; all of its parameters are given',
        params: schema.RELATIONSHIP_PARAMS,
        headers: IF_MATCH,
        querystring: schema.SET_RELATIONSHIP_QUERY,
        body: schema.RELATIONSHIP_INPUT,
        response: {
          200: schema.SET_RELATIONSHIP,
          201: schema.CHANGED_RELATIONSHIP,
        },
      },
    },
    async (request, reply) => {
      const { query, headers } = request;
      const { given, warnings } = read(request.body, domainOf(request.params));
      const how = {
        as: query.only_existing === true ? 'update' : 'either',
        bundle: query.bundle ?? 'needed',
        ifRevision: readIfMatch(headers['if-match'] as string | undefined),
        by: byOf(request),
      } as const;
      if (query.dry_run === true) {
        const { change, bundleSet } = federation.preview(given, how);
        return { change, bundle_set: bundleSet, warnings };
      }
      const outcome = await federation.set(given, how);
      const code = outcome.change === 'created' ? 201 : 200;
      return send(reply.code(code), outcome.view, 'whole', changeJson(outcome, warnings));
    },
  );

  app.delete<{ Params: Params }>(
    '/v1/federation/:trust_domain',
    {
      schema: {
        operationId: 'deleteRelationship',
        errors: ['ERR_NOT_FOUND', 'ERR_REVISION'],
        summary: 'Delete a federation relationship and its bundle: no workload trusts the domain any more',
        params: schema.RELATIONSHIP_PARAMS,
        headers: IF_MATCH,
        response: { 204: NOTHING },
      },
    },
    async (request, reply) => {
      const ifRevision = readIfMatch(request.headers['if-match'] as string | undefined);
      await federation.delete(domainOf(request.params), ifRevision, byOf(request));
      return reply.code(204).send();
    },
  );

  app.post<{ Params: Params; Querystring: Static<typeof schema.REFRESH_QUERY> }>(
    '/v1/federation/:trust_domain/refresh',
    {
      schema: {
        operationId: 'refreshRelationship',
        errors: ['ERR_NOT_FOUND', 'ERR_FEDERATION'],
        summary: 'Fetch the bundle of a federation relationship now',
        params: schema.RELATIONSHIP_PARAMS,
        querystring: schema.REFRESH_QUERY,
        response: { 200: schema.REFRESHED_RELATIONSHIP },
      },
    },
    async ({ params, query }) => {
      const trustDomain = domainOf(params);
      const { changed } = await federation.refresh(trustDomain, query.force === true);
      return { ...viewJson(federation.get(trustDomain), 'redacted'), changed };
    },
  );
}

type Show = Parameters<typeof relationshipToJson>[1];

/** Who may set a URL may see the secret that its query may have. */
function shownTo(requester: Requester | undefined): Show {
  const isAdmin = requester?.kind === 'unix' || (requester !== undefined && includesRole(requester.role, 'admin'));
  return isAdmin ? 'whole' : 'redacted';
}

function send(reply: FastifyReply, view: RelationshipView, show: Show, more: object = {}): FastifyReply {
  return reply.header('etag', `"${view.revision}"`).send({ ...viewJson(view, show), ...more });
}

type Outcome = Awaited<ReturnType<Federation['set']>>;

function changeJson({ change, bundleSet, fetchError }: Outcome, warnings: readonly Problem[]) {
  const rule = 'the relationship was stored, and is polled again';
  const failed = fetchError === undefined ? [] : [{ path: '/bundle_endpoint_url', problem: fetchError.message, rule }];
  return { change, bundle_set: bundleSet, warnings: [...warnings, ...failed] };
}

function viewJson(
  { relationship, revision, status, bundle }: RelationshipView,
  show: Show,
): schema.RelationshipViewJson {
  const { error } = status;
  return {
    ...relationshipToJson(relationship, show),
    revision_number: revision,
    created_at: time(relationship.createdAt),
    updated_at: time(relationship.updatedAt),
    state: status.state,
    last_attempt_at: maybeTime(status.lastAttemptAt),
    last_success_at: maybeTime(status.lastSuccessAt),
    next_poll_at: maybeTime(status.nextPollAt),
    failures: status.failures,
    error: error === undefined ? null : { reason: error.reason, message: error.message, fix: error.fix ?? null },
    address: status.address ?? null,
    ignored: [...status.ignored],
    bundle: bundle === undefined ? null : bundleJson(bundle),
  };
}

function bundleJson(bundle: FederatedBundle) {
  const { source, statedSequence, sequenceNumber, refreshHint, x509Authorities, jwtAuthorities, updatedAt } = bundle;
  return {
    source,
    spiffe_sequence: String(statedSequence ?? sequenceNumber),
    spiffe_refresh_hint: refreshHint ?? null,
    x509_authorities: x509Authorities.length,
    jwt_authorities: jwtAuthorities.length,
    expires_at: maybeTime(bundleEnd(bundle)),
    updated_at: time(updatedAt),
  };
}
