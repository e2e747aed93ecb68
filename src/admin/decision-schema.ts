/** JSON schemas of decisions. */

import Type, { type Static } from 'typebox';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const MaybeText = Type.Union([Type.String(), Type.Null()]);

export const FACT = titled(
  'Fact',
  Type.Object(
    {
      selector: Type.String({ description: 'type:value; values of environment selectors are left out' }),
      source: Type.String({ description: 'the source of the fact' }),
    },
    CLOSED,
  ),
);

export const DECISION = titled(
  'Decision',
  Type.Object(
    {
      id: Type.String({ description: 'as in the log and in the gRPC status' }),
      at: Timestamp,
      kind: Type.Enum(['held', 'refused', 'fetch-nothing']),
      pid: Type.Integer({ description: '0: outside the pid namespace of the server' }),
      uid: Type.Integer(),
      gid: Type.Integer(),
      owner: Type.String({ description: 'the owner for limits: a user or a container' }),
      connection: Type.String({ description: 'as in the log' }),
      node_id: MaybeText,
      contained: { ...MaybeText, description: 'why the caller counted as a process in a container' },
      facts: Type.Array(FACT, { description: 'the facts about the caller' }),
      name: { ...MaybeText, description: 'the requested name; null: the caller was refused for any name' },
      spiffe_id: { ...MaybeText, description: 'the SPIFFE ID that the name stands for' },
      reason: Type.String({ description: 'the reason for holding the name, or an error code' }),
      detail: Type.String(),
      candidates: Type.Array(Type.Object({ entry_id: Type.String(), lacks: Type.Array(Type.String()) }, CLOSED), {
        description:
          'entries that give the SPIFFE ID to others, the nearest first, with the selectors that the caller lacked',
      }),
      ended_at: Type.Union([Timestamp, Type.Null()], { description: 'when a hold ended; null while it lasts' }),
    },
    CLOSED,
  ),
);

export type DecisionJson = Static<typeof DECISION>;

export const DECISION_PARAMS = Type.Object({ id: Type.String() });

export const DECISION_QUERY = Type.Object({
  pid: Type.Optional(Type.Integer({ minimum: 0, maximum: 4_294_967_295, description: 'give the pid of a process' })),
  spiffe_id: Type.Optional(Type.String({ description: 'decisions on names that stand for this SPIFFE ID' })),
  connection: Type.Optional(
    Type.String({ description: 'only this connection, as /v1/proxies has it; not those of a former process' }),
  ),
  reason: Type.Optional(Type.String({ description: 'the reason for holding the name, or an error code' })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'give an integer from 1 to 1000' }),
  cursor: Type.Optional(Type.Integer({ minimum: 1, description: 'give the next_cursor of the previous page' })),
});

export type DecisionQueryJson = Static<typeof DECISION_QUERY>;

export const DECISION_PAGE = titled(
  'DecisionPage',
  Type.Object(
    { decisions: Type.Array(DECISION), next_cursor: Type.String({ description: 'empty on the last page' }) },
    CLOSED,
  ),
);

export type DecisionPageJson = Static<typeof DECISION_PAGE>;
