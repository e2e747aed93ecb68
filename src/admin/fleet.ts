/** What attached agents say of their hosts: their answers to questions of this server's API. */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static, TSchema } from 'typebox';
import type { Attachments } from '../agents/index.ts';
import { ERRORS, type ErrorCode, parseBytes, printable, SidekeyError } from '../base/index.ts';
import type { Registry } from '../registry/index.ts';
import { AGENT_PARAMS } from './agent-schema.ts';
import { DECISION_PAGE, DECISION_QUERY } from './decision-schema.ts';
import { DOCTOR } from './doctor-schema.ts';
import { EXPLAIN_QUERY, EXPLANATION, type ExplanationJson } from './explain-schema.ts';
import { PROXY_PAGE, PROXY_QUERY } from './proxy-schema.ts';

/** The attached agents. */
export type FleetView = Pick<Attachments, 'onMove' | 'list' | 'ask'>;

export interface FleetRoutesParts {
  readonly registry: Pick<Registry, 'agents'>;
  /** Undefined, or answers undefined: no agent can attach. */
  readonly fleet?: (() => FleetView | undefined) | undefined;
}

/** Of an agent's text, in characters. */
const SHOWN = 500;

export function addFleetRoutes(app: FastifyInstance, parts: FleetRoutesParts): void {
  const add = (
    name: string,
    operationId: string,
    summary: string,
    answer: TSchema,
    query?: TSchema,
    shown: (answer: unknown) => unknown = (same) => same,
  ) => {
    app.get<{ Params: Static<typeof AGENT_PARAMS> }>(
      `/v1/agents/:id/${name}`,
      {
        schema: {
          ...{ operationId, summary, params: AGENT_PARAMS, errors: ['ERR_NOT_FOUND', 'ERR_AGENT_AWAY'] },
          ...(query === undefined ? {} : { querystring: query }),
          response: { 200: answer },
        },
      },
      async (request) => shown(await ask(request, `/v1/${name}`, answer, parts)),
    );
  };
  add('proxies', 'listAgentProxies', "List the proxies of an agent's host, as it answers", PROXY_PAGE, PROXY_QUERY);
  add(
    'explain',
    'explainOnAgent',
    "Explain a caller of an agent's host, as it answers; without commands",
    EXPLANATION,
    EXPLAIN_QUERY,
    (answer) => withoutCommands(answer as ExplanationJson),
  );
  add('decisions', 'listAgentDecisions', "List refusals of an agent's host", DECISION_PAGE, DECISION_QUERY);
  add('doctor', 'getAgentReport', "An agent's report on itself and its host, for the checks of doctor", DOCTOR);
}

/** @throws ERR_NOT_FOUND; ERR_AGENT_AWAY; what the agent refuses, with its code */
async function ask(
  request: FastifyRequest<{ Params: Static<typeof AGENT_PARAMS> }>,
  path: string,
  schema: TSchema,
  { registry, fleet }: FleetRoutesParts,
): Promise<unknown> {
  const { id } = registry.agents.require(request.params.id);
  const away = (why: string) => new SidekeyError('ERR_AGENT_AWAY', `the agent ${id} cannot be asked: ${why}`);
  const asked = fleet?.();
  if (asked === undefined) throw away('no agent can attach to this server');
  const [, query] = (request.raw.url ?? '').split('?', 2);
  const { status, body } = await asked.ask(id, query === undefined ? path : `${path}?${query}`);
  const answer = readJson(body);
  // Answers of this server are not checked, so only this needs the code.
  const { Check } = await import('typebox/schema');
  if (status === 200 && Check(schema, answer)) return answer;
  if (status >= 400) throw refusalOf(answer) ?? away(`it answers with the status ${status}`);
  throw away('its answer is not what was asked for; its version may be another one');
}

/** An operator of the server must not be led to run what an agent proposes. */
function withoutCommands(explanation: ExplanationJson): ExplanationJson {
  const { process: caller } = explanation;
  return {
    ...explanation,
    ...{ fixes: [], process: caller && { ...caller, reach: { ...caller.reach, fix: null, command: null } } },
    near: explanation.near.map((miss) => ({ ...miss, fix: null, fixes: [] })),
  };
}

function readJson(body: Uint8Array): unknown {
  try {
    return parseBytes(body);
  } catch {
    return undefined;
  }
}

/** The agent's own error, if it has a code that is known here. */
function refusalOf(answer: unknown): SidekeyError | undefined {
  const { code, detail } = (answer ?? {}) as { readonly code?: unknown; readonly detail?: unknown };
  if (typeof code !== 'string' || !Object.hasOwn(ERRORS, code) || typeof detail !== 'string') return undefined;
  return new SidekeyError(code as ErrorCode, `the agent answers: ${printable(detail.slice(0, SHOWN))}`);
}
