/** The shapes of what is told of decisions. */

import Type, { type Static } from 'typebox';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const MaybeText = Type.Union([Type.String(), Type.Null()]);

export const FACT = Type.Object(
  {
    selector: Type.String({ description: 'type:value; values of environment selectors are left out' }),
    source: Type.String({ description: 'whose word it is' }),
  },
  CLOSED,
);

export const DECISION = Type.Object(
  {
    id: Type.String({ description: 'as in the log and in the gRPC status' }),
    at: Timestamp,
    kind: Type.Enum(['held', 'refused', 'fetch-nothing']),
    pid: Type.Integer({ description: '0: outside the pid namespace of the server' }),
    uid: Type.Integer(),
    gid: Type.Integer(),
    owner: Type.String({ description: 'the user or container that limits count it for' }),
    connection: Type.String({ description: 'as in the log' }),
    node_id: MaybeText,
    contained: { ...MaybeText, description: 'why the caller counted as a process in a container' },
    facts: Type.Array(FACT, { description: 'what was known of the caller' }),
    name: { ...MaybeText, description: 'what was asked for; null: the caller was refused whatever it asks for' },
    spiffe_id: { ...MaybeText, description: 'that the name stands for' },
    reason: Type.String({ description: 'a reason to hold, or the code of an error' }),
    detail: Type.String(),
    candidates: Type.Array(Type.Object({ entry_id: Type.String(), lacks: Type.Array(Type.String()) }, CLOSED), {
      description: 'the entries that give it to others, the nearest first, and what the caller lacked',
    }),
    ended_at: Type.Union([Timestamp, Type.Null()], { description: 'when a hold ended; null while it lasts' }),
  },
  CLOSED,
);

export type DecisionJson = Static<typeof DECISION>;

export const DECISION_PARAMS = Type.Object({ id: Type.String() });

export const DECISION_QUERY = Type.Object({
  pid: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 4_294_967_295, description: 'it is the number of a process' }),
  ),
  spiffe_id: Type.Optional(Type.String({ description: 'decisions on names that stand for this SPIFFE ID' })),
  reason: Type.Optional(Type.String({ description: 'a reason to hold, or the code of an error' })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'it is an integer from 1 to 1000' }),
  cursor: Type.Optional(Type.Integer({ minimum: 1, description: 'it is the next_cursor of the page before' })),
});

export type DecisionQueryJson = Static<typeof DECISION_QUERY>;

export const DECISION_PAGE = Type.Object(
  { decisions: Type.Array(DECISION), next_cursor: Type.String({ description: 'empty on the last page' }) },
  CLOSED,
);

export type DecisionPageJson = Static<typeof DECISION_PAGE>;
