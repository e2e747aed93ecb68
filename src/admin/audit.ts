/** `GET /v1/audit`: who changed what, as pages or as an export. */

import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { type Problem, SidekeyError } from '../base/index.ts';
import type { AuditStore } from '../registry/index.ts';
import type { AuditFilter } from './audit-filter.ts';
import { auditLines } from './audit-lines.ts';
import { auditPage } from './audit-page.ts';
import { AUDIT_PAGE, AUDIT_QUERY, type AuditQueryJson } from './audit-schema.ts';
import { readInstant } from './time.ts';

const JSON_LINES = 'application/x-ndjson';
/** Maximum number of exports at a time. */
export const MAX_EXPORTS = 4;
/** An export whose client reads nothing for this long is ended, in milliseconds. */
const SILENCE_MS = 30_000;

export function addAuditRoutes(app: FastifyInstance, store: AuditStore): void {
  const exports = new Set<ServerResponse>();
  app.get<{ Querystring: AuditQueryJson }>(
    '/v1/audit',
    {
      schema: {
        operationId: 'listAudit',
        summary: 'List the audit, newest first, or export it as JSON Lines, oldest first',
        querystring: AUDIT_QUERY,
        response: { 200: AUDIT_PAGE },
        produces: [JSON_LINES],
        errors: ['ERR_TOO_MANY_READERS'],
      },
    },
    async ({ query, headers }, reply) => {
      reply.header('vary', 'accept');
      const filter = readFilter(query);
      if (query.format === 'jsonl' || wantsLines(headers.accept)) {
        return sendLines(reply, store, exports, { after: query.after, filter: isEmpty(filter) ? undefined : filter });
      }
      if (query.after !== undefined) {
        const rule = 'it is for exports (format=jsonl); a page begins after its cursor';
        throw SidekeyError.badInput([{ path: '?after', problem: 'this is no export', rule }]);
      }
      const { order, limit, cursor } = query;
      return auditPage(store, { filter, order, limit, cursor });
    },
  );
}

function sendLines(
  reply: FastifyReply,
  store: AuditStore,
  exports: Set<ServerResponse>,
  query: Parameters<typeof auditLines>[1],
): FastifyReply {
  const { raw } = reply;
  if (exports.size >= MAX_EXPORTS) {
    throw new SidekeyError('ERR_TOO_MANY_READERS', `${MAX_EXPORTS} exports of the audit run already: wait for one`);
  }
  exports.add(raw);
  // The socket's event, because a response that waits behind another one on its connection gets no 'close'.
  const release = () => exports.delete(raw);
  raw.once('close', release);
  raw.req.socket.once('close', release);
  raw.setTimeout(SILENCE_MS, () => raw.destroy());
  return reply.type(JSON_LINES).send(Readable.from(auditLines(store, query), { objectMode: false }));
}

function wantsLines(accept: string | undefined): boolean {
  return (accept ?? '').split(',').some((range) => range.split(';', 1)[0]!.trim().toLowerCase() === JSON_LINES);
}

function readFilter(query: AuditQueryJson): AuditFilter {
  const problems: Problem[] = [];
  const { actor, action, target, spiffe_id: spiffeId, serial } = query;
  const since = readInstant(query.since, '?since', problems);
  const until = readInstant(query.until, '?until', problems);
  const filter = { actor, action, target, spiffeId, serial, since, until };
  if (problems.length > 0) throw SidekeyError.badInput(problems);
  return filter;
}

function isEmpty(filter: AuditFilter): boolean {
  return Object.values(filter).every((value) => value === undefined);
}
