/** JSON schemas of the authorities. */

import Type, { type Static } from 'typebox';
import { SLOT_STATES, type SlotState } from '../ca/slot.ts';
import { AUTHORITY_KEY_TYPES } from '../spiffe/key-types.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const Role = Type.Union([Type.Literal('root'), Type.Literal('intermediate')]);

const LaggingProxyObject = titled(
  'LaggingProxy',
  Type.Object(
    {
      pid: Type.Integer(),
      uid: Type.Integer(),
      node_id: Type.Union([Type.String(), Type.Null()]),
      name: Type.String({ description: 'the secret that has the bundle' }),
      rejection: Type.Union([Type.String(), Type.Null()], { description: 'the text of its NACK' }),
    },
    CLOSED,
  ),
);

const Authority = titled(
  'Authority',
  Type.Object(
    {
      id: Type.String({ description: 'subject key identifier, lower-case hex' }),
      role: Role,
      key_type: Type.Enum([...AUTHORITY_KEY_TYPES]),
      state: Type.Unsafe<SlotState>({
        type: 'string',
        enum: SLOT_STATES,
        description: 'an active one signs; roots are in the bundle except for prepared ones',
      }),
      since: Timestamp,
      not_before: Timestamp,
      not_after: Timestamp,
      subject: Type.String(),
      waits_for: Type.Array(LaggingProxyObject, {
        description: 'of a published root: proxies that have not acknowledged the bundle with it; at most 100',
      }),
    },
    CLOSED,
  ),
);

export const AUTHORITIES = titled('Authorities', Type.Object({ authorities: Type.Array(Authority) }, CLOSED));
export type AuthoritiesJson = Static<typeof AUTHORITIES>;

export const ROTATE = titled('RotateRequest', Type.Object({ role: Role }, CLOSED));
