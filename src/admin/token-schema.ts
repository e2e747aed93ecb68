/** JSON schemas of tokens. */

import Type, { type Static } from 'typebox';
import { ROLES } from '../base/index.ts';
import { ENTRY_FIELDS, TOKEN_NAME } from '../registry/index.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const Role = Type.Enum([...ROLES], { description: 'each role includes those before it' });
const Name = Type.String({ pattern: TOKEN_NAME, description: 'not admin.token, the token of the file' });

const token = {
  name: Type.String(),
  role: Role,
  created_at: Timestamp,
  expires_at: Type.Union([Timestamp, Type.Null()], { description: 'null: never' }),
  expired: Type.Boolean({ description: 'it is past expires_at, so requests with it are refused' }),
};

const TOKEN = titled('Token', Type.Object(token, CLOSED));

export type TokenJson = Static<typeof TOKEN>;

export const TOKENS = titled('Tokens', Type.Object({ tokens: Type.Array(TOKEN) }, CLOSED));

export const TOKEN_INPUT = titled(
  'TokenInput',
  Type.Object(
    {
      name: Name,
      role: Role,
      expires_at: Type.Optional(Type.Unsafe<unknown>(ENTRY_FIELDS.expiresAt.givenSchema!)),
    },
    CLOSED,
  ),
);

export const NEW_TOKEN = titled(
  'NewToken',
  Type.Object(
    {
      ...token,
      token: Type.String({
        pattern: '^sidekey_[0-9a-f]{72}$',
        description: 'the text to send as the bearer token: 256 random bits and their CRC-32, in hex; shown only once',
      }),
    },
    CLOSED,
  ),
);

export const TOKEN_PARAMS = Type.Object({ name: Type.String() });
