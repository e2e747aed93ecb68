/** Routes for entries: create, list, show, change, delete, and declare the whole set of one source. */

import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Static } from 'typebox';
import { SidekeyError } from '../base/errors.ts';
import { type EntryRules, parseEntryInput, parseEntryInputs, parseEntryPatch } from '../registry/entry-input.ts';
import { type EntryJson, entryToJson } from '../registry/entry-json.ts';
import type { Entry, Registry } from '../registry/types.ts';
import { badMember, isObject, onlyMembers, readIfMatch, readListQuery, readSource } from './entry-requests.ts';
import * as schema from './schema.ts';

/** The source of entries that are created over REST. */
const API = 'api';

export function addEntryRoutes(
  app: FastifyInstance,
  { registry, entryRules: rules }: { readonly registry: Registry; readonly entryRules: EntryRules },
): void {
  app.post(
    '/v1/entries',
    {
      schema: {
        summary: 'Create one entry, or several (all or none)',
        body: schema.NEW_ENTRIES,
        response: { 201: schema.MADE_ENTRIES },
      },
    },
    async ({ body }, reply) => {
      reply.code(201);
      if (isObject(body) && Object.hasOwn(body, 'entries')) {
        const { entries } = onlyMembers(body, ['entries']);
        const inputs = parseEntryInputs(entries, rules);
        if (inputs.length === 0) throw badMember('/entries', 'it is empty', 'give at least one entry');
        return reply.send({ entries: toJson(await registry.create(inputs, API)) });
      }
      const [entry] = await registry.create([parseEntryInput(body, rules)], API);
      return sendEntry(reply, entry!);
    },
  );

  app.get<{ Querystring: Static<typeof schema.ENTRY_QUERY> }>(
    '/v1/entries',
    {
      schema: {
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

  app.put<{ Querystring: Static<typeof schema.SOURCE_QUERY> }>(
    '/v1/entries',
    {
      schema: {
        summary: 'Make the entries of one source equal to the given list',
        querystring: schema.SOURCE_QUERY,
        body: schema.SOURCE_ENTRIES,
        response: { 200: schema.SOURCE_CHANGES },
      },
    },
    async ({ body, query }) => {
      const { source, entries } = onlyMembers(body, ['source', 'entries']);
      const inputs = parseEntryInputs(entries, rules);
      const changes = await registry.replaceSource(readSource(source), inputs, { dryRun: query.dry_run });
      return {
        created: toJson(changes.created),
        changed: toJson(changes.changed),
        deleted: toJson(changes.deleted),
        kept: toJson(changes.kept),
      };
    },
  );

  app.get<{ Params: Static<typeof schema.ENTRY_PARAMS> }>(
    '/v1/entries/:id',
    { schema: { summary: 'Show an entry', params: schema.ENTRY_PARAMS, response: { 200: schema.ENTRY } } },
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

  app.patch<{ Params: Static<typeof schema.ENTRY_PARAMS> }>(
    '/v1/entries/:id',
    {
      schema: {
        summary: 'Change the given fields of an entry',
        params: schema.ENTRY_PARAMS,
        headers: schema.IF_MATCH,
        body: schema.ENTRY_PATCH,
        response: { 200: schema.ENTRY },
      },
    },
    async ({ params: { id }, headers, body }, reply) => {
      const patch = parseEntryPatch(body, rules, id);
      return sendEntry(reply, await registry.update(id, patch, readIfMatch(headers['if-match'])));
    },
  );

  app.delete<{ Params: Static<typeof schema.ENTRY_PARAMS> }>(
    '/v1/entries/:id',
    {
      schema: {
        summary: 'Delete an entry',
        params: schema.ENTRY_PARAMS,
        headers: schema.IF_MATCH,
        response: { 204: schema.NOTHING },
      },
    },
    async ({ params: { id }, headers }, reply) => {
      await registry.delete(id, readIfMatch(headers['if-match']));
      return reply.code(204).send();
    },
  );
}

function toJson(entries: readonly Entry[]): EntryJson[] {
  return entries.map(entryToJson);
}

/** Sends one entry, with the value for If-Match as its ETag. */
function sendEntry(reply: FastifyReply, entry: Entry): FastifyReply {
  return reply.header('etag', `"${entry.revisionNumber}"`).send(entryToJson(entry));
}
