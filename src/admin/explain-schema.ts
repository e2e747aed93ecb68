/** JSON schemas of explanations: the caller's facts, its identities, and the ones that it lacks. */

import Type, { type Static } from 'typebox';
import { FACT } from './decision-schema.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const MaybeText = Type.Union([Type.String(), Type.Null()]);

export const EXPLAIN_QUERY = Type.Object({
  pid: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 4_194_304, description: 'give the pid of a running process' }),
  ),
  container: Type.Optional(Type.String({ description: 'name or id of a running container' })),
  selector: Type.Optional(
    Type.Array(Type.String(), { description: 'type:value; facts to assume instead of asking the attestors' }),
  ),
  contained: Type.Boolean({ default: false, description: 'with selector: assume that the caller is in a container' }),
  spiffe_id: Type.Optional(Type.String({ description: 'the SPIFFE ID that the caller should have' })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 10, description: 'give an integer from 1 to 1000' }),
});

export type ExplainQuery = Static<typeof EXPLAIN_QUERY>;

const ATTESTOR = Type.Object(
  {
    name: Type.String(),
    at: Timestamp,
    took_ms: Type.Number(),
    facts: Type.Array(FACT),
    error: { ...MaybeText, description: 'why the attestor failed; then the caller gets no identity' },
    remark: MaybeText,
  },
  CLOSED,
);

const LACK = Type.Object(
  {
    selector: Type.String(),
    has: Type.Array(Type.String(), {
      description:
        'the selectors of the same kind that the caller has; for a negative selector the fact that it excludes, or nothing if it is not known whether the caller has that',
    }),
    alike: { ...MaybeText, description: 'one of these that is nearly the same; probably one of the two is mistyped' },
  },
  CLOSED,
);

const MISS = Type.Object(
  {
    entry_id: Type.String(),
    spiffe_id: Type.String(),
    selectors: Type.Integer({ description: 'the number of selectors of the entry' }),
    lacks: Type.Array(LACK),
    expired_at: Type.Union([Timestamp, Type.Null()]),
    withheld: Type.Boolean({ description: 'the caller is in a container, and the entry does not allow that' }),
    fix: {
      ...MaybeText,
      description: 'a command that gives the SPIFFE ID to the caller again, if this entry gave it before',
    },
    fixes: Type.Array(Type.String(), { description: 'fix as a list' }),
    note: { ...MaybeText, description: 'what to consider before running the command' },
  },
  CLOSED,
);

const GIVEN = Type.Object({ entry_id: Type.String(), spiffe_id: Type.String(), default: Type.Boolean() }, CLOSED);

const TEMPLATE = Type.Object(
  {
    entry_id: Type.String(),
    template: Type.String(),
    spiffe_id: { ...MaybeText, description: 'what the template is rendered as for the caller' },
    why: { ...MaybeText, description: 'why it is not rendered' },
    values: Type.Array(
      Type.Object(
        { placeholder: Type.String(), value: MaybeText, why: { ...MaybeText, description: 'why there is none' } },
        CLOSED,
      ),
    ),
  },
  CLOSED,
);

const ASKED = Type.Object(
  {
    spiffe_id: Type.String(),
    given: Type.Boolean(),
    reason: { ...MaybeText, description: 'the reason for holding the name' },
    detail: Type.String(),
    alike: {
      ...MaybeText,
      description: 'an existing SPIFFE ID that is nearly the same; this one is probably mistyped',
    },
  },
  CLOSED,
);

const REACH = Type.Object(
  {
    verdict: Type.Enum(['yes', 'no', 'unknown']),
    detail: Type.String(),
    fix: MaybeText,
    command: { ...MaybeText, description: 'the part of fix that is a command' },
    seen_as: { ...MaybeText, description: 'the path of the socket in the mount namespace of the process' },
  },
  CLOSED,
);

export const EXPLANATION = titled(
  'Explanation',
  Type.Object(
    {
      at: Timestamp,
      process: Type.Union([
        Type.Object(
          {
            pid: Type.Integer(),
            uid: Type.Integer(),
            gid: Type.Integer(),
            contained: { ...MaybeText, description: 'why the caller counts as a process in a container' },
            reach: {
              ...REACH,
              description: 'whether the process can connect to the pipe; ACLs and security modules are not looked at',
            },
            connections: Type.Integer({ description: 'connections on the pipe that it has now, with a stream' }),
          },
          CLOSED,
        ),
        Type.Null(),
      ]),
      attestors: Type.Array(ATTESTOR, { description: 'empty if facts were assumed' }),
      asked: Type.Union([ASKED, Type.Null()]),
      identities: Type.Array(GIVEN, { description: 'the identities that the caller has, oldest entry first' }),
      templates: Type.Array(TEMPLATE, { description: 'the templates of entries whose selectors the caller has' }),
      bundles: Type.Array(Type.String()),
      unset_bundles: Type.Array(Type.String(), {
        description: 'trust domains whose bundles the caller would get if they were set',
      }),
      near: Type.Array(MISS, { description: 'entries that do not match, nearest first' }),
      fixes: Type.Array(Type.String(), { description: 'commands for an operator to consider, the best first' }),
      note: {
        ...MaybeText,
        description: 'what to consider before running a command, or why an expected command is missing',
      },
      server: {
        ...MaybeText,
        description: 'host:port of the server on which the commands change something; null: of this one',
      },
    },
    CLOSED,
  ),
);

export type ExplanationJson = Static<typeof EXPLANATION>;
