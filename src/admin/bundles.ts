/** Routes for trust bundles: the server's own, and those of other trust domains, which are set by hand. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { type Clock, type Problem, SidekeyError } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import {
  bundleEnd,
  checkSequence,
  type FederatedBundle,
  parseBundleDocument,
  parseBundlePem,
  parseForeignTrustDomain,
  type Registry,
} from '../registry/index.ts';
import { bundleDocument, oidcJwks, type TrustBundle } from '../spiffe/index.ts';
import type { ByOf } from './actor.ts';
import * as schema from './schema.ts';
import { maybeTime, time } from './time.ts';

const PEM = 'application/x-pem-file';

export interface BundleRoutesParts {
  readonly registry: Registry;
  readonly ca: Pick<CertificateAuthority, 'bundle'>;
  readonly clock: Clock;
}

type BundleParams = { Params: Static<typeof schema.BUNDLE_PARAMS> };

export function addBundleRoutes(app: FastifyInstance, parts: BundleRoutesParts, byOf: ByOf): void {
  const { registry, ca } = parts;
  app.get<{ Querystring: Static<typeof schema.BUNDLE_QUERY> }>(
    '/v1/bundle',
    {
      schema: {
        operationId: 'getBundle',
        summary: 'The own SPIFFE bundle',
        querystring: schema.BUNDLE_QUERY,
        response: { 200: schema.BUNDLE },
        produces: [PEM],
      },
    },
    (request, reply) => sendBundle(request, reply, ca.bundle(), request.query.lists),
  );

  app.get(
    '/v1/jwks',
    {
      schema: {
        operationId: 'getJwks',
        summary: 'The JWT keys of the own trust domain, as an OIDC provider publishes them',
        response: { 200: schema.JWKS },
      },
    },
    () => oidcJwks(ca.bundle().jwtAuthorities),
  );

  app.get(
    '/v1/bundles',
    {
      schema: {
        operationId: 'listForeignBundles',
        summary: 'List the bundles of other trust domains',
        response: { 200: schema.BUNDLES },
      },
    },
    () => ({ bundles: registry.federatedBundles.list().map(summary) }),
  );

  app.get<BundleParams>(
    '/v1/bundles/:trust_domain',
    {
      schema: {
        operationId: 'getBundleOf',
        summary: 'The SPIFFE bundle of a trust domain',
        params: schema.BUNDLE_PARAMS,
        response: { 200: schema.BUNDLE },
        produces: [PEM],
      },
    },
    (request, reply) => {
      const name = request.params.trust_domain.replace(/^spiffe:\/\//, '');
      if (name === registry.trustDomain) return sendBundle(request, reply, ca.bundle());
      const bundle = registry.federatedBundles.get(name);
      if (bundle === undefined) throw new SidekeyError('ERR_NOT_FOUND', `there is no bundle of ${name}`);
      return sendBundle(request, reply, bundle);
    },
  );

  // A separate scope, because only these routes accept PEM.
  app.register(async (scope) => addSetRoute(scope, parts, byOf));

  app.delete<BundleParams>(
    '/v1/bundles/:trust_domain',
    {
      schema: {
        operationId: 'deleteForeignBundle',
        errors: ['ERR_RELATIONSHIP'],
        summary: 'Delete the bundle of another trust domain, which is not one of a federation relationship',
        params: schema.BUNDLE_PARAMS,
        response: { 204: schema.NOTHING },
      },
    },
    async (request, reply) => {
      const name = parseForeignTrustDomain(request.params.trust_domain, registry.trustDomain);
      await registry.federatedBundles.delete(name, byOf(request), () => {
        if (registry.relationships.get(name) !== undefined) throw ofRelationship(name);
      });
      return reply.code(204).send();
    },
  );
}

function addSetRoute(scope: FastifyInstance, { registry, clock }: BundleRoutesParts, byOf: ByOf): void {
  scope.addContentTypeParser(PEM, { parseAs: 'string' }, async (_request: unknown, body: string) => body);
  scope.put<BundleParams>(
    '/v1/bundles/:trust_domain',
    {
      schema: {
        operationId: 'setForeignBundle',
        summary: 'Set the bundle of another trust domain',
        params: schema.BUNDLE_PARAMS,
        body: schema.BUNDLE,
        consumes: [PEM],
        response: { 200: schema.SET_BUNDLE, 201: schema.SET_BUNDLE },
      },
    },
    async (request, reply) => {
      const { params, headers, body } = request;
      const { federatedBundles } = registry;
      const trustDomain = parseForeignTrustDomain(params.trust_domain, registry.trustDomain);
      const warnings: Problem[] = [];
      const warn = (warning: Problem) => void warnings.push(warning);
      const rules = { trustDomain, now: clock.now(), warn };
      const isPem = mediaType(headers['content-type'] ?? '') === PEM;
      const input = isPem ? parseBundlePem(String(body ?? ''), rules) : parseBundleDocument(body, rules);
      checkSequence(input, federatedBundles.get(trustDomain), warn);
      if (registry.relationships.get(trustDomain) !== undefined) warn(willBeReplaced(trustDomain));
      const { value, created } = await federatedBundles.set(trustDomain, input, byOf(request));
      return reply.code(created ? 201 : 200).send({ ...summary(value), warnings });
    },
  );
}

/**
 * Answers in PEM only if the request's Accept header names PEM, otherwise in JSON.
 * @param withLists PEM with the revocation lists, which most readers of bundles refuse
 */
function sendBundle(
  { headers }: Pick<FastifyRequest, 'headers'>,
  reply: FastifyReply,
  bundle: TrustBundle,
  withLists = false,
): FastifyReply {
  reply.header('vary', 'accept');
  const wantsPem = (headers.accept ?? '').split(',').some((range) => mediaType(range) === PEM);
  return wantsPem
    ? reply.type(PEM).send(withLists ? bundle.pem : bundle.authoritiesPem)
    : reply.send(bundleDocument(bundle));
}

function willBeReplaced(trustDomain: string): Problem {
  return {
    path: '',
    problem: `the bundle of ${trustDomain} is fetched from its endpoint too, for a federation relationship`,
    rule: 'the next successful fetch replaces the one that is set now',
  };
}

function ofRelationship(trustDomain: string): SidekeyError {
  return new SidekeyError(
    'ERR_RELATIONSHIP',
    `the bundle of ${trustDomain} is fetched for a federation relationship, and would come back: delete both with sidekey federation delete ${trustDomain}`,
  );
}

/** The media type without parameters, in lower case. */
function mediaType(header: string): string {
  return header.split(';', 1)[0]!.trim().toLowerCase();
}

function summary(bundle: FederatedBundle): schema.BundleJson {
  return {
    trust_domain: bundle.trustDomain,
    spiffe_sequence: bundle.sequenceNumber,
    spiffe_refresh_hint: bundle.refreshHint ?? null,
    source: bundle.source,
    authorities: bundle.x509Authorities.length,
    expires_at: maybeTime(bundleEnd(bundle)),
    updated_at: time(bundle.updatedAt),
  };
}
