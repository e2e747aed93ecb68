/** `PUT /v1/entries`: declares the whole set of entries of one source, or tells what that would change. */

import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { Inspect } from '../attest/index.ts';
import { ENTRIES_BODY_LIMIT, FILE_SOURCE, refuseDeep, SidekeyError, Slices } from '../base/index.ts';
import { parseWithList } from '../entries-file/index.ts';
import type { Identities } from '../identity/index.ts';
import {
  type Entry,
  type EntryChange,
  type EntryInput,
  type EntryRules,
  type EntryWarning,
  entryToJson,
  MOST_WARNINGS,
  type Registry,
  readEntryInputs,
  type SourceChanges,
  storedAs,
  type WarningsOf,
} from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { ByOf } from './actor.ts';
import { differingFieldsOf, effectsOfChanges } from './effects.ts';
import { tellWarnings } from './entries.ts';
import { onlyMembers, readSource } from './entry-requests.ts';
import { inSlices } from './json-pieces.ts';
import * as schema from './schema.ts';
import { Turnstile } from './turnstile.ts';

interface DeclaredRoutesParts {
  readonly registry: Registry;
  readonly entryRules: EntryRules;
  readonly warningsOf: WarningsOf;
  readonly identities: Pick<Identities, 'preview'>;
  /** Asks the attestors about a process. */
  readonly inspect: Inspect;
  readonly log: Log;
}

/** Maximum number of bodies in memory at once; further requests wait before theirs is read. */
const MOST_AT_ONCE = 2;

/** Maximum length of an entry, and of all that is outside of the list, in characters; each is parsed in one go. */
const MOST_OF_PIECE = 64 * 1024;

const UTF8 = new TextDecoder('utf-8', { fatal: true });

export function addDeclaredRoutes(app: FastifyInstance, parts: DeclaredRoutesParts, byOf: ByOf): void {
  const turnstile = new Turnstile(MOST_AT_ONCE);
  /** By request: lets the next one in. A client that does not read its answer must not keep others waiting. */
  const leaves = new WeakMap<object, () => void>();
  // A scope of its own, since its bodies are larger and are parsed in slices.
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => {
      if (body.length === 0) return undefined;
      refuseDeep(body);
      return parseWithList(decode(body), 'entries', { mostOfPiece: MOST_OF_PIECE });
    });
    scope.addHook('preParsing', async (request, { raw: response }) => {
      const leave = await turnstile.enter();
      leaves.set(request, leave);
      response.once('close', leave);
      // The client may have left while it waited.
      if (response.closed) leave();
    });
    scope.put<{ Querystring: Static<typeof schema.SOURCE_QUERY> }>(
      '/v1/entries',
      {
        bodyLimit: ENTRIES_BODY_LIMIT,
        schema: {
          operationId: 'setEntriesOfSource',
          errors: ['ERR_ENTRY_EXISTS'],
          summary: 'Make the entries of one source equal to the given list',
          querystring: schema.SOURCE_QUERY,
          body: schema.SOURCE_ENTRIES,
          response: { 200: schema.SOURCE_CHANGES },
        },
      },
      async (request, reply) => {
        const { body, query } = request;
        const { registry, entryRules, warningsOf, log } = parts;
        const { source: given, entries } = onlyMembers(body, ['source', 'entries']);
        const source = readSource(given);
        const inputs = await readEntryInputs(entries, entryRules);
        const { dry_run: dryRun, prune, adopt } = query;
        const changes = await registry.replaceSource(source, inputs, { dryRun, prune, adopt, by: byOf(request) });
        const effects = dryRun ? await effectsOf(changes, parts) : undefined;
        const warnings = [...(await warningsInSlices(inputs, warningsOf)), ...twinWarnings(changes)];
        const told = tellWarnings(log, warnings, (index) => storedAs(inputs[index]!, registry), true);
        const answer = Readable.from(inSlices(pieces(changes, { ...(effects && { effects }), ...told })), {
          objectMode: false,
        });
        leaves.get(request)?.();
        return reply.type('application/json; charset=utf-8').send(answer);
      },
    );
  });
}

function decode(body: Buffer): string {
  try {
    return UTF8.decode(body);
  } catch (thrown) {
    throw new SidekeyError('ERR_BAD_JSON', (thrown as Error).message);
  }
}

/** The answer's JSON. */
function* pieces(changes: SourceChanges, more: object): Generator<string> {
  const { created, changed, deleted, kept, absent, replaced } = changes;
  let head = '{';
  for (const [name, entries] of Object.entries({ created, changed, deleted, kept, absent })) {
    yield `${head}"${name}":[`;
    for (const [at, entry] of entries.entries()) yield `${at === 0 ? '' : ','}${JSON.stringify(entryToJson(entry))}`;
    head = '],';
  }
  yield '],"differences":[';
  for (const [at, entry] of changed.entries()) {
    yield `${at === 0 ? '' : ','}${JSON.stringify(differenceOf(replaced[at]!, entry))}`;
  }
  yield `]${Object.entries(more)
    .map(([name, value]) => `,${JSON.stringify(name)}:${JSON.stringify(value)}`)
    .join('')}}`;
}

/** Number of entries whose warnings are found between two checks of the time. */
const BATCH = 200;

/** The warnings of all entries, up to the number that is reported for any write. */
async function warningsInSlices(inputs: readonly EntryInput[], warningsOf: WarningsOf): Promise<EntryWarning[]> {
  const slices = new Slices();
  const warnings: EntryWarning[] = [];
  for (let start = 0; start < inputs.length && warnings.length < MOST_WARNINGS; start += BATCH) {
    for (const { index, warning } of warningsOf(inputs.slice(start, start + BATCH))) {
      warnings.push({ index: start + index, warning });
    }
    if (slices.isOver()) await slices.next();
  }
  return warnings.slice(0, MOST_WARNINGS + 1);
}

/** Maximum number of warnings about entries that another source has too. */
const MOST_TWINS = 100;

function twinWarnings({ twins }: SourceChanges): EntryWarning[] {
  return twins.slice(0, MOST_TWINS).map(({ index, entry }) => ({
    index,
    warning: {
      path: '',
      problem: `entry ${entry.id} of the source ${JSON.stringify(entry.source)} has the same SPIFFE ID, selectors and parent`,
      rule:
        entry.source === FILE_SOURCE
          ? 'both are kept; that one is in the file of serve --entries, which needs no apply: leave it out here'
          : 'both are kept; delete that one, or take it over with adopt=true (sidekey apply --adopt)',
    },
  }));
}

async function effectsOf(
  changes: SourceChanges,
  { identities, inspect }: DeclaredRoutesParts,
): Promise<schema.EffectsJson> {
  return effectsOfChanges(changesOf(changes), { identities, inspect });
}

/** The changes as the registry would report them. */
function changesOf({ created, changed, replaced, deleted }: SourceChanges): EntryChange[] {
  return [
    ...deleted.map((entry) => ({ before: entry, after: undefined })),
    ...changed.map((after, at) => ({ before: replaced[at]!, after })),
    ...created.map((after) => ({ before: undefined, after })),
  ];
}

function differenceOf(before: Entry, after: Entry) {
  return { id: after.id, spiffe_id: after.spiffeId, fields: differingFieldsOf(before, after) };
}
