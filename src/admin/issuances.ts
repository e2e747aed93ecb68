/** `GET /v1/issuances`: the records of issued certificates and tokens. */

import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import { ISSUANCE_KINDS, type IssuanceRecord, type Problem, SidekeyError } from '../base/index.ts';
import type { IssuanceStore } from '../registry/index.ts';
import { readSerial } from './serial.ts';
import { readInstant, time } from './time.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });

const ISSUANCE_QUERY = Type.Object({
  spiffe_id: Type.Optional(
    Type.String({ description: 'one SPIFFE ID, or with * at its end the beginning of some: spiffe://ilinux.io/web/*' }),
  ),
  serial: Type.Optional(Type.String({ description: 'of a certificate, hex in any form; or the serial of a token' })),
  entry_id: Type.Optional(Type.String()),
  kind: Type.Optional(
    Type.Unsafe<IssuanceRecord['kind']>({ type: 'string', enum: [...ISSUANCE_KINDS], description: 'give x509 or jwt' }),
  ),
  since: Type.Optional(Type.String({ description: 'RFC 3339' })),
  until: Type.Optional(Type.String({ description: 'RFC 3339; issuances from before it' })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'give an integer from 1 to 1000' }),
  cursor: Type.Optional(Type.Integer({ minimum: 1, description: 'give the next_cursor of the previous page' })),
});

const ISSUANCE = titled(
  'Issuance',
  Type.Object(
    {
      kind: Type.Enum([...ISSUANCE_KINDS], { description: 'x509: a certificate; jwt: a token' }),
      serial: Type.String({ description: 'of a token: the first 16 bytes of its SHA-256, lower-case hex' }),
      spiffe_id: Type.String(),
      entry_id: Type.String(),
      authority_id: Type.String(),
      issued_at: Timestamp,
      not_before: Timestamp,
      expires_at: Timestamp,
      revoked: Type.Boolean({ description: 'it is revoked, and has not ended' }),
    },
    CLOSED,
  ),
);

const ISSUANCE_PAGE = titled(
  'IssuancePage',
  Type.Object(
    {
      issuances: Type.Array(ISSUANCE, { description: 'a page may be short, even empty, before the last one' }),
      next_cursor: Type.String({ description: 'empty on the last page' }),
    },
    CLOSED,
  ),
);

export interface IssuanceRoutesParts {
  readonly self: { readonly issuances: Pick<IssuanceStore, 'search'> };
  readonly registry: { readonly revocations: { get(serial: string): unknown } };
}

export function addIssuanceRoutes(app: FastifyInstance, { self, registry }: IssuanceRoutesParts): void {
  app.get<{ Querystring: Static<typeof ISSUANCE_QUERY> }>(
    '/v1/issuances',
    {
      schema: {
        operationId: 'listIssuances',
        summary: 'List issued certificates and tokens, newest first; records of tokens are kept until they end',
        querystring: ISSUANCE_QUERY,
        response: { 200: ISSUANCE_PAGE },
      },
    },
    async ({ query }) => {
      const { spiffe_id: id, serial, entry_id: entryId, kind, limit, cursor } = query;
      const problems: Problem[] = [];
      const since = readInstant(query.since, '?since', problems);
      const until = readInstant(query.until, '?until', problems);
      if (problems.length > 0) throw SidekeyError.badInput(problems);
      const isPrefix = id?.endsWith('*') === true;
      const page = await self.issuances.search({
        spiffeId: isPrefix ? undefined : id,
        spiffeIdPrefix: isPrefix ? id.slice(0, -1) : undefined,
        serial: serial === undefined ? undefined : serialOf(serial),
        ...{ entryId, kind, limit, cursor, since, until },
      });
      const issuances = page.records.map((record) =>
        toJson(record, registry.revocations.get(record.serial) !== undefined),
      );
      return { issuances, next_cursor: String(page.nextCursor ?? '') };
    },
  );
}

function toJson(record: IssuanceRecord, revoked: boolean): Static<typeof ISSUANCE> {
  return {
    kind: record.kind,
    serial: record.serial,
    spiffe_id: record.spiffeId,
    entry_id: record.entryId,
    authority_id: record.authorityId,
    issued_at: time(record.issuedAt),
    not_before: time(record.notBefore),
    expires_at: time(record.notAfter),
    revoked,
  };
}

/** Serials of tokens are whole, and never decimal. @throws ERR_BAD_INPUT */
function serialOf(text: string): string {
  return /^(?:[0-9]{32}|00[0-9a-f]{30})$/i.test(text) ? text.toLowerCase() : readSerial(text, '?serial');
}
