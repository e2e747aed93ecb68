/** JSON schemas of the audit. */

import Type, { type Static } from 'typebox';
import { ACTOR_KINDS } from '../audit/index.ts';
import { ROLES } from '../base/index.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const Hash = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Values = Type.Record(Type.String(), Type.Unknown());

const ACTOR = titled(
  'AuditActor',
  Type.Object(
    {
      kind: Type.Enum([...ACTOR_KINDS]),
      uid: Type.Optional(Type.Integer()),
      pid: Type.Optional(Type.Integer()),
      name: Type.Optional(Type.String({ description: 'the name of the token or session' })),
      role: Type.Optional(Type.Enum([...ROLES], { description: 'the role of the token or session' })),
      session: Type.Optional(Type.String({ description: 'the id of the session of the page' })),
      made_by: Type.Optional(Type.String({ description: 'who made the link of the session: unix:UID, token:NAME' })),
      address: Type.Optional(Type.String()),
      owner: Type.Optional(Type.String({ description: 'the user or container that a caller of the pipe counts for' })),
      path: Type.Optional(Type.String({ description: 'the file' })),
    },
    CLOSED,
  ),
);

export const AUDIT_ROW = titled(
  'AuditRow',
  Type.Object(
    {
      sequence: Type.Integer({ minimum: 1 }),
      at: Timestamp,
      action: Type.String({ description: 'docs/audit.md lists them' }),
      actor: ACTOR,
      source: Type.String(),
      target: Type.Optional(Type.String()),
      spiffe_id: Type.Optional(Type.String()),
      before: Type.Optional(Values),
      after: Type.Optional(Values),
      detail: Type.Optional(Values),
      issuance: Type.Optional(
        Type.Integer({ minimum: 1, description: 'the number of the issuance; its row has the digest of several' }),
      ),
      serial: Type.Optional(Type.String({ description: 'of an issued SVID' })),
      hash: Hash,
    },
    CLOSED,
  ),
);

export type AuditRowJson = Static<typeof AUDIT_ROW>;

export const AUDIT_PAGE = titled(
  'AuditPage',
  Type.Object(
    {
      rows: Type.Array(AUDIT_ROW, { description: 'a page may be short, even empty, before the last one' }),
      next_cursor: Type.String({ description: 'empty on the last page' }),
      head: Type.Object(
        { sequence: Type.Integer(), hash: Hash },
        { ...CLOSED, description: 'the newest row; with order=oldest, its number is the cursor for later rows' },
      ),
    },
    CLOSED,
  ),
);

export type AuditPageJson = Static<typeof AUDIT_PAGE>;

export const AUDIT_QUERY = Type.Object({
  actor: Type.Optional(Type.String({ description: 'unix:UID, token:NAME, file:PATH, server, or a kind alone' })),
  action: Type.Optional(Type.String({ description: 'such as entry.created, or the part before the dot' })),
  target: Type.Optional(Type.String({ description: 'the id of an entry or authority, a host, a trust domain' })),
  spiffe_id: Type.Optional(Type.String()),
  serial: Type.Optional(Type.String({ description: 'of an issued SVID, lower-case hex' })),
  since: Type.Optional(Type.String({ description: 'RFC 3339' })),
  until: Type.Optional(Type.String({ description: 'RFC 3339; rows from before it' })),
  order: Type.Unsafe<'newest' | 'oldest'>({
    type: 'string',
    enum: ['newest', 'oldest'],
    default: 'newest',
    description: 'give newest or oldest; an export is always oldest first',
  }),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'give an integer from 1 to 1000' }),
  cursor: Type.Optional(Type.String({ description: 'the next_cursor of the previous page' })),
  after: Type.Optional(
    Type.Integer({ minimum: 0, description: 'of an export: give the sequence number of the row before its first one' }),
  ),
  format: Type.Unsafe<'json' | 'jsonl'>({
    type: 'string',
    enum: ['json', 'jsonl'],
    default: 'json',
    description: 'give json, or jsonl for an export of all rows; the header Accept: application/x-ndjson is the same',
  }),
});

export type AuditQueryJson = Static<typeof AUDIT_QUERY>;
