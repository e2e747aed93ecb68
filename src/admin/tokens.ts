/** Routes for tokens: list, create, revoke. */

import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { Clock } from '../base/index.ts';
import { isExpiredToken, parseTokenInput, type Registry, type Token } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { ByOf } from './actor.ts';
import { NOTHING } from './schema.ts';
import { maybeTime, time } from './time.ts';
import { NEW_TOKEN, TOKEN_INPUT, TOKEN_PARAMS, TOKENS, type TokenJson } from './token-schema.ts';

export interface TokenRoutesParts {
  readonly registry: Pick<Registry, 'tokens'>;
  readonly clock: Clock;
  readonly log: Log;
}

export function addTokenRoutes(app: FastifyInstance, { registry, clock, log }: TokenRoutesParts, byOf: ByOf): void {
  const { tokens } = registry;
  app.get(
    '/v1/tokens',
    { schema: { operationId: 'listTokens', summary: 'List tokens by name', response: { 200: TOKENS } } },
    () => ({ tokens: tokens.list().map((token) => toJson(token, clock.now())) }),
  );

  app.post(
    '/v1/tokens',
    {
      schema: {
        operationId: 'createToken',
        summary: 'Make a token; its text is in this answer only',
        body: TOKEN_INPUT,
        response: { 201: NEW_TOKEN },
        errors: ['ERR_TOKEN_EXISTS'],
      },
    },
    async (request, reply) => {
      const { body, requester } = request;
      const now = clock.now();
      const { token, text } = await tokens.create(parseTokenInput(body, now), byOf(request));
      log.info({ name: token.name, role: token.role, by: requester }, 'a token was made');
      // Nothing on the way may keep the text.
      reply.code(201).header('cache-control', 'no-store');
      return { ...toJson(token, now), token: text };
    },
  );

  app.delete<{ Params: Static<typeof TOKEN_PARAMS> }>(
    '/v1/tokens/:name',
    {
      schema: {
        operationId: 'revokeToken',
        summary: 'Revoke a token: requests with it are refused from now on, and its event streams end',
        params: TOKEN_PARAMS,
        response: { 204: NOTHING },
      },
    },
    async (request, reply) => {
      const { params, requester } = request;
      const { name } = params;
      await tokens.revoke(name, byOf(request));
      log.info({ name, by: requester }, 'a token was revoked');
      return reply.code(204).send();
    },
  );
}

function toJson(token: Token, now: number): TokenJson {
  const { name, role, createdAt, expiresAt } = token;
  return {
    name,
    role,
    created_at: time(createdAt),
    expires_at: maybeTime(expiresAt === 0 ? undefined : expiresAt),
    expired: isExpiredToken(token, now),
  };
}
