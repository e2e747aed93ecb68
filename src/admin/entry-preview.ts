/** `POST /v1/entries/preview`: what one write would change, before it is made. */

import type { FastifyInstance } from 'fastify';
import Type from 'typebox';
import { isSecret } from '../attest/index.ts';
import { API_SOURCE, includesRole, type Problem, SidekeyError } from '../base/index.ts';
import {
  type EntryChange,
  type EntryRules,
  entryToJson,
  type PlannedWrite,
  parseEntryInput,
  parseEntryPatch,
  type Registry,
  type WarningsOf,
} from '../registry/index.ts';
import { formatSelector } from '../spiffe/index.ts';
import { type Requester, senderOf } from './access.ts';
import { differingFieldsOf, type EffectsParts, effectsOfChanges } from './effects.ts';
import { badMember, isObject, onlyMembers } from './entry-requests.ts';
import { EFFECTS, ENTRY, ENTRY_INPUT, ENTRY_PATCH, INPUT_PROBLEM } from './schema.ts';
import { titled } from './titled.ts';
import { Turnstile } from './turnstile.ts';

export interface PreviewRoutesParts extends EffectsParts {
  readonly registry: Pick<Registry, 'plan'>;
  readonly entryRules: EntryRules;
  readonly warningsOf: WarningsOf;
}

const CLOSED = { additionalProperties: false } as const;
/** Maximum number of previews that run at once: each may read the facts of many processes. */
const MOST_AT_ONCE = 2;

const Which = {
  id: Type.String(),
  revision_number: Type.Optional(
    Type.Integer({ minimum: 1, description: 'the revision that the entry must have, as If-Match of the write' }),
  ),
};

const PREVIEW_INPUT = titled(
  'EntryPreviewInput',
  Type.Union([
    Type.Object({ create: ENTRY_INPUT }, CLOSED),
    Type.Object({ update: Type.Object({ ...Which, patch: ENTRY_PATCH }, CLOSED) }, CLOSED),
    Type.Object({ delete: Type.Object(Which, CLOSED) }, CLOSED),
  ]),
);

const PREVIEW = titled(
  'EntryPreview',
  Type.Object(
    {
      before: Type.Union([ENTRY, Type.Null()], { description: 'the entry now; null: there is none' }),
      after: Type.Union([ENTRY, Type.Null()], {
        description:
          'the entry after the write; null: there is none. Of a new one, id and times are not yet the real ones',
      }),
      fields: Type.Array(Type.Object({ name: Type.String(), before: Type.Unknown(), after: Type.Unknown() }, CLOSED), {
        description: 'of an update: the fields that differ',
      }),
      effects: EFFECTS,
      warnings: Type.Array(INPUT_PROBLEM, { description: 'as the write would have them' }),
    },
    CLOSED,
  ),
);

export function addPreviewRoutes(app: FastifyInstance, parts: PreviewRoutesParts): void {
  const turnstile = new Turnstile(MOST_AT_ONCE);
  app.post(
    '/v1/entries/preview',
    {
      schema: {
        operationId: 'previewEntry',
        errors: ['ERR_NOT_FOUND', 'ERR_ENTRY_EXISTS', 'ERR_REVISION', 'ERR_TOO_MANY_READERS'],
        summary:
          'Find out which running callers would gain, lose or change an identity by one write, without making it',
        body: PREVIEW_INPUT,
        response: { 200: PREVIEW },
      },
    },
    async ({ body, requester }, { raw: response }) => {
      const { registry, entryRules, warningsOf } = parts;
      const change = registry.plan(readWrite(body, entryRules), API_SOURCE);
      const { before, after } = change;
      refuseGuesses(change, requester!);
      const leave = await turnstile.enter(senderOf(requester!));
      try {
        // The client may have left while it waited.
        if (response.closed) return;
        const isNothing = before === after;
        const effects = isNothing ? NO_EFFECTS : await effectsOfChanges([change], parts);
        const warnings = after === undefined ? [] : warningsOf([after]).map(({ warning }): Problem => warning);
        return {
          before: before === undefined ? null : entryToJson(before),
          after: after === undefined ? null : entryToJson(after),
          fields: before === undefined || after === undefined ? [] : differingFieldsOf(before, after),
          ...{ effects, warnings },
        };
      } finally {
        leave();
      }
    },
  );
}

/**
 * Whether a caller would gain an identity says whether it has a fact, so the values of variables could be guessed. An entry
 * of the registry says that anyway.
 * @throws ERR_FORBIDDEN_ROLE
 */
function refuseGuesses({ before, after }: EntryChange, requester: Requester): void {
  if (requester.kind === 'unix' || includesRole(requester.role, 'entries')) return;
  const known = new Set(before?.selectors.map(formatSelector));
  const isGuess = after?.selectors.some((selector) => isSecret(selector) && !known.has(formatSelector(selector)));
  if (isGuess !== true) return;
  throw new SidekeyError(
    'ERR_FORBIDDEN_ROLE',
    'a preview with a new selector for an environment variable needs the role entries, since it says who has that value',
    { extra: { needed_role: 'entries' } },
  );
}

const NO_EFFECTS = { callers: [], more: 0, unread: 0 };

const RULE = 'the body is an object with exactly one of create, update and delete';

/** @throws ERR_BAD_INPUT */
function readWrite(body: unknown, rules: EntryRules): PlannedWrite {
  const given = onlyMembers(body, ['create', 'update', 'delete']);
  const names = Object.keys(given);
  if (names.length !== 1) {
    throw badMember('', names.length === 0 ? 'it is empty' : `it has ${names.join(' and ')}`, RULE);
  }
  if ('create' in given) return { input: parseEntryInput(given.create, rules, '/create') };
  const [name] = names as ['update' | 'delete'];
  const value = given[name];
  const members = name === 'update' ? ['id', 'revision_number', 'patch'] : ['id', 'revision_number'];
  const rule = `${name} is an object with ${members.join(', ')}`;
  if (!isObject(value)) throw badMember(`/${name}`, 'it is not an object', rule);
  const other = Object.keys(value).find((one) => !members.includes(one));
  if (other !== undefined) throw badMember(`/${name}/${other.slice(0, 100)}`, 'there is no such field', rule);
  const { id, revision_number: ifRevision, patch } = value;
  if (typeof id !== 'string') throw badMember(`/${name}/id`, 'it is not a text', 'it is the id of the entry');
  if (ifRevision !== undefined && !Number.isSafeInteger(ifRevision)) {
    throw badMember(
      `/${name}/revision_number`,
      'it is not an integer',
      'give the revision_number of the entry that was read',
    );
  }
  const which = { id, ifRevision: ifRevision as number | undefined };
  return name === 'delete' ? which : { ...which, patch: parseEntryPatch(patch, rules, id, '/update/patch') };
}
