/** `GET /v1/decisions`: refusals and held names of callers, with the reasons. */

import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { sourceOf } from '../attest/index.ts';
import { SidekeyError } from '../base/index.ts';
import type { Decisions } from '../identity/index.ts';
import type { DecisionRecord } from '../registry/index.ts';
import {
  DECISION,
  DECISION_PAGE,
  DECISION_PARAMS,
  DECISION_QUERY,
  type DecisionJson,
  type DecisionQueryJson,
} from './decision-schema.ts';
import { maybeTime, time } from './time.ts';

export function addDecisionRoutes(app: FastifyInstance, decisions: Pick<Decisions, 'get' | 'list'>): void {
  app.get<{ Querystring: DecisionQueryJson }>(
    '/v1/decisions',
    {
      schema: {
        operationId: 'listDecisions',
        summary: 'List refusals and holds of the last day, newest first',
        querystring: DECISION_QUERY,
        response: { 200: DECISION_PAGE },
      },
    },
    async ({ query: { spiffe_id: spiffeId, connection: id, ...rest } }) => {
      // The ids of connections begin anew with each process.
      const connection = id === undefined ? {} : { connection: { id, since: performance.timeOrigin } };
      const page = await decisions.list({ ...rest, ...connection, ...(spiffeId === undefined ? {} : { spiffeId }) });
      return { decisions: page.decisions.map(toJson), next_cursor: String(page.nextCursor ?? '') };
    },
  );

  app.get<{ Params: Static<typeof DECISION_PARAMS> }>(
    '/v1/decisions/:id',
    {
      schema: {
        operationId: 'getDecision',
        summary: 'Show one refusal or hold',
        params: DECISION_PARAMS,
        response: { 200: DECISION },
      },
    },
    async ({ params: { id } }) => {
      const record = await decisions.get(id);
      if (record !== undefined) return toJson(record);
      throw new SidekeyError(
        'ERR_NOT_FOUND',
        `there is no decision ${id}: decisions are kept for a day, and at most 10,000`,
      );
    },
  );
}

function toJson(record: DecisionRecord): DecisionJson {
  return {
    id: record.id,
    at: time(record.at),
    kind: record.kind,
    pid: record.pid,
    uid: record.uid,
    gid: record.gid,
    owner: record.owner,
    connection: record.connection,
    node_id: record.node ?? null,
    contained: record.contained ?? null,
    facts: record.facts.map((selector) => ({ selector, source: sourceOf(selector) })),
    name: record.name ?? null,
    spiffe_id: record.spiffeId ?? null,
    reason: record.reason,
    detail: record.detail,
    candidates: record.candidates.map(({ entryId, lacks }) => ({ entry_id: entryId, lacks: [...lacks] })),
    ended_at: maybeTime(record.endedAt),
  };
}
