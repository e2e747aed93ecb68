/** JSON schemas of the page's sessions and links. */

import Type, { type Static } from 'typebox';
import { TOKEN_NAME } from '../../registry/index.ts';
import { titled } from '../titled.ts';
import { SESSION_ROLES } from './sessions.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const Role = Type.Enum([...SESSION_ROLES]);
const Name = Type.String({ description: 'as who made the link named it; not checked' });

/** The session of the browser that asks. */
export const OWN_SESSION = titled(
  'OwnPageSession',
  Type.Object(
    {
      id: Type.String(),
      name: Name,
      role: Role,
      csrf: Type.String({
        description: 'must be in the header x-sidekey-csrf of each request of the session that is not a GET',
      }),
      expires_at: {
        ...Timestamp,
        description: 'its end at the latest; without requests and event streams, an hour after the last',
      },
      trust_domain: Type.String(),
      version: Type.String({ description: 'of the server' }),
    },
    CLOSED,
  ),
);

export type OwnSessionJson = Static<typeof OWN_SESSION>;

const SESSION = titled(
  'PageSession',
  Type.Object(
    {
      id: Type.String(),
      name: Name,
      role: Role,
      made_by: Type.String({ description: 'who made the link: unix:UID, or token:NAME' }),
      created_at: Timestamp,
      last_used_at: Timestamp,
      expires_at: Timestamp,
      current: Type.Boolean({ description: 'whether it is the session that asks' }),
    },
    CLOSED,
  ),
);

export type SessionJson = Static<typeof SESSION>;

export const SESSIONS = titled('PageSessions', Type.Object({ sessions: Type.Array(SESSION) }, CLOSED));

export const SESSION_PARAMS = Type.Object({ id: Type.String() });

export const CODE_INPUT = titled('PageCode', Type.Object({ code: Type.String() }, CLOSED));

export const LINK_INPUT = titled(
  'PageLinkInput',
  Type.Object(
    {
      role: Type.Optional(
        Type.Enum([...SESSION_ROLES], { description: 'by default that of who asks; not a higher one' }),
      ),
      name: Type.Optional(
        Type.String({ pattern: TOKEN_NAME, description: 'who the session is for, in the audit; by default who asks' }),
      ),
    },
    CLOSED,
  ),
);

export const NEW_LINK = titled(
  'PageLink',
  Type.Object(
    {
      code: Type.String({ description: 'for the fragment of the link (#code=…): works once, until expires_at' }),
      expires_at: Timestamp,
      role: Role,
      name: Type.String(),
      listener: Type.Union(
        [Type.Object({ address: Type.String(), port: Type.Integer(), tls: Type.Boolean() }, CLOSED), Type.Null()],
        { description: 'where the server has the page on TCP; null: nowhere' },
      ),
    },
    CLOSED,
  ),
);

export type NewLinkJson = Static<typeof NEW_LINK>;
