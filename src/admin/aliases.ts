/** Aliases: other names for SPIFFE IDs, such as host names of on-demand secrets. */

import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { type Problem, SidekeyError } from '../base/index.ts';
import { type Alias, parseAliasHost, parseAliasTarget, type Registry } from '../registry/index.ts';
import type { ReservedNames, SpiffeId } from '../spiffe/index.ts';
import type { ByOf } from './actor.ts';
import * as schema from './schema.ts';
import { time } from './time.ts';

type AliasParams = { Params: Static<typeof schema.ALIAS_PARAMS> };

export function addAliasRoutes(app: FastifyInstance, registry: Registry, byOf: ByOf, reserved?: ReservedNames): void {
  const { aliases } = registry;
  app.get(
    '/v1/aliases',
    { schema: { operationId: 'listAliases', summary: 'List aliases by name', response: { 200: schema.ALIASES } } },
    () => ({
      aliases: aliases.list().map(toJson),
    }),
  );

  app.get<AliasParams>(
    '/v1/aliases/:host',
    {
      schema: {
        operationId: 'getAlias',
        summary: 'Show an alias',
        params: schema.ALIAS_PARAMS,
        response: { 200: schema.ALIAS },
      },
    },
    ({ params: { host } }) => {
      const alias = aliases.get(host);
      if (alias === undefined) throw new SidekeyError('ERR_NOT_FOUND', `there is no alias of ${host}`);
      return toJson(alias);
    },
  );

  app.put<AliasParams>(
    '/v1/aliases/:host',
    {
      schema: {
        operationId: 'setAlias',
        summary: 'Set an alias of a SPIFFE ID',
        params: schema.ALIAS_PARAMS,
        body: schema.ALIAS_INPUT,
        response: { 200: schema.SET_ALIAS, 201: schema.SET_ALIAS },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const host = parseAliasHost(params.host, reserved);
      const spiffeId = parseAliasTarget(body, registry.trustDomain);
      const { value, created } = await aliases.set(host, spiffeId, byOf(request));
      return reply.code(created ? 201 : 200).send({ ...toJson(value), warnings: warningsOf(spiffeId, registry) });
    },
  );

  app.delete<AliasParams>(
    '/v1/aliases/:host',
    {
      schema: {
        operationId: 'deleteAlias',
        summary: 'Delete an alias',
        params: schema.ALIAS_PARAMS,
        response: { 204: schema.NOTHING },
      },
    },
    async (request, reply) => {
      await aliases.delete(request.params.host, byOf(request));
      return reply.code(204).send();
    },
  );
}

function warningsOf(spiffeId: SpiffeId, registry: Registry): Problem[] {
  if (registry.names(spiffeId) || registry.couldRender(spiffeId).length > 0) return [];
  const problem = `no entry gives ${spiffeId} yet`;
  return [
    { path: '/spiffe_id', problem, rule: 'a caller that asks for the alias must have an entry for its SPIFFE ID' },
  ];
}

function toJson({ host, spiffeId, createdAt, updatedAt }: Alias): schema.AliasJson {
  return {
    host,
    spiffe_id: spiffeId,
    created_at: time(createdAt),
    updated_at: time(updatedAt),
  };
}
