/** Routes for agents of other hosts: list, show, ban, evict, and the tokens by which they join. */

import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { AttachedAgent } from '../agents/index.ts';
import type { Clock } from '../base/index.ts';
import { type Agent, type EntryRules, joinedAgentId, parseJoinTokenInput, type Registry } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { ByOf } from './actor.ts';
import { AGENT, AGENT_PARAMS, AGENTS, type AgentJson, JOIN_TOKEN_INPUT, NEW_JOIN_TOKEN } from './agent-schema.ts';
import type { FleetRoutesParts } from './fleet.ts';
import { NOTHING } from './schema.ts';
import { time } from './time.ts';

export interface AgentRoutesParts {
  readonly registry: Pick<Registry, 'agents'>;
  readonly entryRules: Pick<EntryRules, 'trustDomain'>;
  readonly fleet?: FleetRoutesParts['fleet'];
  readonly clock: Clock;
  readonly log: Log;
}

interface AgentParams {
  Params: Static<typeof AGENT_PARAMS>;
}

export function addAgentRoutes(
  app: FastifyInstance,
  { registry, entryRules, fleet, clock, log }: AgentRoutesParts,
  byOf: ByOf,
): void {
  const { agents } = registry;
  const present = () => new Map([...(fleet?.()?.list() ?? [])].map((one) => [one.id, one]));
  const show = (agent: Agent, attached = present()) => toJson(agent, attached.get(agent.id), clock.now());
  app.get(
    '/v1/agents',
    { schema: { operationId: 'listAgents', summary: 'List agents of other hosts by ID', response: { 200: AGENTS } } },
    () => {
      const attached = present();
      return { agents: agents.list().map((agent) => show(agent, attached)) };
    },
  );

  app.get<AgentParams>(
    '/v1/agents/:id',
    {
      schema: {
        operationId: 'getAgent',
        summary: 'One agent',
        params: AGENT_PARAMS,
        response: { 200: AGENT },
      },
    },
    ({ params }) => show(agents.require(params.id)),
  );

  app.post(
    '/v1/agents/tokens',
    {
      schema: {
        operationId: 'createJoinToken',
        summary: 'Make a token with which one agent joins; its text is in this answer only',
        body: JOIN_TOKEN_INPUT,
        response: { 201: NEW_JOIN_TOKEN },
      },
    },
    async (request, reply) => {
      const { body, requester } = request;
      const input = parseJoinTokenInput(body, entryRules, clock.now());
      const { token, text } = await agents.createToken(input, byOf(request));
      const id = joinedAgentId(entryRules.trustDomain, token.hash);
      log.info({ agent: id, alias: token.alias, by: requester }, 'a join token was made');
      // Nothing on the way may keep the text.
      reply.code(201).header('cache-control', 'no-store');
      return { token: text, agent_id: id, alias: token.alias || null, expires_at: time(token.expiresAt) };
    },
  );

  app.post<AgentParams>(
    '/v1/agents/:id/ban',
    {
      schema: {
        operationId: 'banAgent',
        summary: 'Ban an agent: it gets nothing more, and cannot attest itself again until it is evicted',
        params: AGENT_PARAMS,
        response: { 200: AGENT },
      },
    },
    async (request) => {
      const agent = await agents.ban(request.params.id, byOf(request));
      log.warn({ agent: agent.id, by: request.requester }, 'an agent was banned');
      return show(agent);
    },
  );

  app.delete<AgentParams>(
    '/v1/agents/:id',
    {
      schema: {
        operationId: 'evictAgent',
        summary: 'Forget an agent: it must attest itself again, with a new token if it joined with one',
        params: AGENT_PARAMS,
        response: { 204: NOTHING },
      },
    },
    async (request, reply) => {
      await agents.evict(request.params.id, byOf(request));
      log.warn({ agent: request.params.id, by: request.requester }, 'an agent was evicted');
      return reply.code(204).send();
    },
  );
}

function toJson(agent: Agent, attached: AttachedAgent | undefined, now: number): AgentJson {
  const end = Math.max(agent.notAfter, agent.newNotAfter);
  return {
    id: agent.id,
    attestation_type: agent.attestationType,
    selectors: agent.selectors.map(({ type, value }) => `${type}:${value}`),
    alias: agent.alias || null,
    serial: agent.newSerial || agent.serial,
    expires_at: time(end),
    can_reattest: agent.canReattest,
    banned: agent.banned,
    version: agent.version || null,
    created_at: time(agent.createdAt),
    expired: end <= now,
    attached: attached === undefined ? null : attachedJson(attached),
  };
}

function attachedJson(attached: AttachedAgent): AgentJson['attached'] {
  const { host, version, address, since, reportedAt, connections, streams, waiting } = attached;
  return {
    ...{ host: host || null, version, address, since: time(since) },
    reported_at: reportedAt === undefined ? null : time(reportedAt),
    ...{ connections, streams, waiting },
  };
}
