/** Routes for entries: create, list, show, change and delete. */

import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Static } from 'typebox';
import { API_SOURCE, FILE_SOURCE, type Problem, type RevocationReason, SidekeyError } from '../base/index.ts';
import { declaredLines } from '../entries-file/index.ts';
import {
  declaredWarning,
  type EntriesView,
  type Entry,
  type EntryJson,
  type EntryRules,
  type EntryWarning,
  entryToJson,
  logEntryWarnings,
  parseEntryInput,
  parseEntryInputs,
  parseEntryPatch,
  type Registry,
  type WarningsOf,
} from '../registry/index.ts';
import type { Revoker } from '../revocation/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { ByOf } from './actor.ts';
import { badMember, isObject, readExport, readIfMatch, readListQuery } from './entry-requests.ts';
import { nothingRevokedJson, revokedJson } from './revocation-json.ts';
import { DELETE_QUERY, REVOKED } from './revocation-schema.ts';
import { deleteAndRevoke } from './revoked-entry.ts';
import * as schema from './schema.ts';

interface EntryRoutesParts {
  readonly registry: Registry;
  readonly revoker: Revoker;
  readonly entryRules: EntryRules;
  readonly warningsOf: WarningsOf;
  readonly log: Log;
  readonly self: { readonly entriesFile: string | undefined };
}

/** Listing and showing entries, of a server or an agent. */
export function addEntryReadRoutes(app: FastifyInstance, registry: Pick<EntriesView, 'list' | 'get'>): void {
  app.get<{ Querystring: Static<typeof schema.ENTRY_QUERY> }>(
    '/v1/entries',
    {
      schema: {
        operationId: 'listEntries',
        summary: 'List entries, oldest first',
        querystring: schema.ENTRY_QUERY,
        response: { 200: schema.ENTRY_PAGE },
      },
    },
    ({ query }) => {
      const { entries, nextCursor } = registry.list(readListQuery(query));
      return { entries: toJson(entries), next_cursor: nextCursor };
    },
  );

  app.get<{ Params: Static<typeof schema.ENTRY_PARAMS> }>(
    '/v1/entries/:id',
    {
      schema: {
        operationId: 'getEntry',
        summary: 'Show an entry',
        params: schema.ENTRY_PARAMS,
        response: { 200: schema.ENTRY },
      },
    },
    ({ params }, reply) => {
      const entry = registry.get(params.id);
      if (entry === undefined)
        throw new SidekeyError(
          'ERR_NOT_FOUND',
          `there is no entry with the id ${params.id}; sidekey entry list shows the ids`,
        );
      return sendEntry(reply, entry);
    },
  );
}

export function addEntryRoutes(
  app: FastifyInstance,
  { registry, revoker, entryRules: rules, warningsOf, log, self }: EntryRoutesParts,
  byOf: ByOf,
): void {
  const warn = (warnings: readonly EntryWarning[], stored: (index: number) => Entry | undefined, isList: boolean) =>
    tellWarnings(log, warnings, stored, isList);

  app.post(
    '/v1/entries',
    {
      schema: {
        operationId: 'createEntries',
        errors: ['ERR_ENTRY_EXISTS'],
        summary: 'Create one entry, or several (all or none)',
        body: schema.NEW_ENTRIES,
        response: { 201: schema.MADE_ENTRIES },
      },
    },
    async (request, reply) => {
      const { body } = request;
      reply.code(201);
      if (isObject(body) && Object.hasOwn(body, 'entries')) {
        const inputs = parseEntryInputs(readExport(body), rules);
        if (inputs.length === 0) throw badMember('/entries', 'it is empty', 'give at least one entry');
        const entries = await registry.create(inputs, API_SOURCE, byOf(request));
        return reply.send({
          entries: toJson(entries),
          ...warn(warningsOf(entries), (index) => entries[index], true),
        });
      }
      const [entry] = await registry.create([parseEntryInput(body, rules)], API_SOURCE, byOf(request));
      return sendEntry(
        reply,
        entry!,
        warn(warningsOf([entry!]), () => entry, false),
      );
    },
  );

  addEntryReadRoutes(app, registry);

  app.patch<{ Params: Static<typeof schema.ENTRY_PARAMS> }>(
    '/v1/entries/:id',
    {
      schema: {
        operationId: 'updateEntry',
        errors: ['ERR_ENTRY_EXISTS', 'ERR_REVISION'],
        summary: 'Change the given fields of an entry',
        params: schema.ENTRY_PARAMS,
        headers: schema.IF_MATCH,
        body: schema.ENTRY_PATCH,
        response: { 200: schema.MADE_ENTRY },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const patch = parseEntryPatch(request.body, rules, id);
      const entry = await registry.update(id, patch, readIfMatch(request.headers['if-match']), byOf(request));
      const declared = declaredWarning(entry, await declaredAt(entry, self.entriesFile));
      const warnings = [...(declared === undefined ? [] : [{ index: 0, warning: declared }]), ...warningsOf([entry])];
      return sendEntry(
        reply,
        entry,
        warn(warnings, () => entry, false),
      );
    },
  );

  app.delete<{ Params: Static<typeof schema.ENTRY_PARAMS>; Querystring: Static<typeof DELETE_QUERY> }>(
    '/v1/entries/:id',
    {
      schema: {
        operationId: 'deleteEntry',
        errors: ['ERR_REVISION', 'ERR_REVOCATION', 'ERR_CA'],
        summary: 'Delete an entry; with revoke, its unexpired certificates are revoked too, and the answer has them',
        params: schema.ENTRY_PARAMS,
        headers: schema.IF_MATCH,
        querystring: DELETE_QUERY,
        response: { 200: REVOKED, 204: schema.NOTHING },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { revoke: reason, wait } = request.query;
      const ifRevision = readIfMatch(request.headers['if-match']);
      const by = byOf(request);
      if (reason === undefined) {
        if (wait > 0) throw badMember('?wait', 'there is no revoke', 'it goes with revoke=REASON only');
        await registry.delete(id, ifRevision, by);
        return reply.code(204).send();
      }
      const what = { id, ifRevision, reason: reason as RevocationReason, waitMs: wait * 1_000, by };
      const outcome = await deleteAndRevoke(registry, revoker, what);
      return outcome === undefined ? nothingRevokedJson(revoker.proxies()) : revokedJson(outcome);
    },
  );
}

/** The member `warnings` of an answer, if there are any. Logs them too, with the ids of the entries. */
export function tellWarnings(
  log: Log,
  warnings: readonly EntryWarning[],
  stored: (index: number) => Entry | undefined,
  isList: boolean,
): { warnings?: Problem[] } {
  logEntryWarnings(log, warnings, stored);
  const located = warnings.map(({ index, warning }) =>
    isList ? { ...warning, path: `/entries/${index}${warning.path}` } : warning,
  );
  return located.length === 0 ? {} : { warnings: located };
}

function toJson(entries: readonly Entry[]): EntryJson[] {
  return entries.map(entryToJson);
}

async function declaredAt(entry: Entry, file: string | undefined): Promise<{ file?: string; line?: number }> {
  if (entry.source !== FILE_SOURCE || file === undefined) return {};
  return { file, ...(await declaredLines(file, [entry])).get(entry.id) };
}

/** Sends one entry, with the value for If-Match as its ETag. */
function sendEntry(reply: FastifyReply, entry: Entry, more: object = {}): FastifyReply {
  return reply.header('etag', `"${entry.revisionNumber}"`).send({ ...entryToJson(entry), ...more });
}
