/** JSON schemas of agents of other hosts, and of the tokens by which they join. */

import Type, { type Static } from 'typebox';
import { ATTESTATION_TYPES } from '../registry/index.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const Alias = Type.Union([Type.String(), Type.Null()], {
  description: 'a further SPIFFE ID that entries may name as their parent',
});

const ATTACHED = titled(
  'AttachedAgent',
  Type.Object(
    {
      host: Type.Union([Type.String(), Type.Null()], { description: 'the name of its host, as it says' }),
      version: Type.String({ description: 'as it says' }),
      address: Type.String({ description: 'of its connection' }),
      since: Timestamp,
      reported_at: Type.Union([Timestamp, Type.Null()], {
        description: 'when its streams last changed and it told so; null: it has told nothing yet',
      }),
      connections: Type.Integer({ minimum: 0, description: 'of proxies and other callers on its host' }),
      streams: Type.Integer({ minimum: 0 }),
      waiting: Type.Integer({ minimum: 0, description: 'streams that have not acknowledged the bundle of the agent' }),
    },
    { ...CLOSED, description: "an agent of Sidekey that is attached now: what it says of its host's streams" },
  ),
);

export const AGENT = titled(
  'Agent',
  Type.Object(
    {
      id: Type.String({ description: 'its SPIFFE ID, which entries name as their parent' }),
      attestation_type: Type.Enum([...ATTESTATION_TYPES]),
      selectors: Type.Array(Type.String(), { description: 'what its attestation found out, as type:value' }),
      alias: Alias,
      serial: Type.String({ description: 'serial number of its SVID, lower-case hex' }),
      expires_at: Type.String({ format: 'date-time', description: 'when its newest SVID ends' }),
      can_reattest: Type.Boolean({ description: 'false: if it is forgotten or its SVID ends, it needs a new token' }),
      banned: Type.Boolean(),
      version: Type.Union([Type.String(), Type.Null()], { description: 'as it reported it' }),
      created_at: Timestamp,
      expired: Type.Boolean({ description: 'its newest SVID has ended' }),
      attached: Type.Union([ATTACHED, Type.Null()], { description: 'null: it is away, or is a spire-agent' }),
    },
    CLOSED,
  ),
);

export type AgentJson = Static<typeof AGENT>;

export const AGENTS = titled('Agents', Type.Object({ agents: Type.Array(AGENT) }, CLOSED));

export const AGENT_PARAMS = Type.Object({
  id: Type.String({ description: 'the SPIFFE ID of the agent, URL-encoded' }),
});

export const JOIN_TOKEN_INPUT = titled(
  'JoinTokenInput',
  Type.Object(
    {
      ttl: Type.Optional(
        Type.Unsafe<unknown>({
          anyOf: [{ type: 'integer', minimum: 1 }, { type: 'string' }],
          description: 'seconds, or a duration: 10m; 600 by default',
        }),
      ),
      spiffe_id: Type.Optional(
        Type.String({ description: 'a further SPIFFE ID for the agent, as a parent of entries' }),
      ),
    },
    CLOSED,
  ),
);

export const NEW_JOIN_TOKEN = titled(
  'NewJoinToken',
  Type.Object(
    {
      token: Type.String({ description: 'the text for the agent; shown only once' }),
      agent_id: Type.String({ description: 'the SPIFFE ID that the agent will have' }),
      alias: Alias,
      expires_at: Timestamp,
    },
    CLOSED,
  ),
);
