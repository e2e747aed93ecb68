/** Routes for revocations: revoke, list, undo. */

import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { type Revocation, SidekeyError } from '../base/index.ts';
import type { RevocationListInfo } from '../ca/index.ts';
import type { Revoker } from '../revocation/index.ts';
import { compareText, type TrustDomain } from '../spiffe/index.ts';
import type { ByOf } from './actor.ts';
import { readRevocationInput } from './revocation-input.ts';
import { proxiesJson, restoredJson, revocationJson, revokedJson } from './revocation-json.ts';
import {
  RESTORE_QUERY,
  RESTORED,
  REVOCATION_INPUT,
  REVOCATIONS,
  REVOCATIONS_QUERY,
  REVOKED,
  type RevocationsJson,
  SERIAL_PARAMS,
} from './revocation-schema.ts';
import { readSerial } from './serial.ts';
import { time } from './time.ts';

export interface RevocationRoutesParts {
  readonly revoker: Revoker;
  readonly entryRules: { readonly trustDomain: TrustDomain };
}

export function addRevocationRoutes(
  app: FastifyInstance,
  { revoker, entryRules }: RevocationRoutesParts,
  byOf: ByOf,
): void {
  app.post(
    '/v1/revocations',
    {
      schema: {
        operationId: 'revokeCertificates',
        errors: ['ERR_NOT_FOUND', 'ERR_REVOCATION', 'ERR_CA'],
        summary: 'Revoke one certificate, or all unexpired ones of a SPIFFE ID or an entry',
        body: REVOCATION_INPUT,
        response: { 200: REVOKED },
      },
    },
    async (request) => {
      const { target, ...options } = readRevocationInput(request.body, entryRules.trustDomain);
      return revokedJson(await revoker.revoke(target, { ...options, by: byOf(request) }));
    },
  );

  app.get<{ Querystring: Static<typeof REVOCATIONS_QUERY> }>(
    '/v1/revocations',
    {
      schema: {
        operationId: 'listRevocations',
        summary: 'List the revocations of certificates that have not ended, and what each proxy does with them',
        querystring: REVOCATIONS_QUERY,
        response: { 200: REVOCATIONS },
      },
    },
    ({ query }) => revocationsJson(revoker, query),
  );

  app.delete<{ Params: Static<typeof SERIAL_PARAMS>; Querystring: Static<typeof RESTORE_QUERY> }>(
    '/v1/revocations/:serial',
    {
      schema: {
        operationId: 'restoreCertificate',
        errors: ['ERR_NOT_FOUND', 'ERR_REVOCATION', 'ERR_CA'],
        summary: 'Undo a revocation whose reason is certificate-hold',
        params: SERIAL_PARAMS,
        querystring: RESTORE_QUERY,
        response: { 200: RESTORED },
      },
    },
    async (request) => {
      const { params, query } = request;
      const serial = readSerial(params.serial, 'serial');
      return restoredJson(await revoker.restore(serial, { by: byOf(request), waitMs: query.wait * 1_000 }));
    },
  );
}

function revocationsJson(revoker: Revoker, query: Static<typeof REVOCATIONS_QUERY>): RevocationsJson {
  const all = revoker.list();
  const from = query.cursor === undefined || query.cursor === '' ? 0 : firstAfter(all, readCursor(query.cursor));
  const page = all.slice(from, from + query.limit);
  return {
    revocations: page.map(revocationJson),
    next_cursor: from + page.length < all.length ? writeCursor(page.at(-1)!) : '',
    total: all.length,
    lists: revoker.lists().map(listJson),
    why_not: revoker.whyNot() ?? null,
    ...proxiesJson(revoker.proxies()),
  };
}

function listJson({ authorityId, role, entries, thisUpdate, nextUpdate }: RevocationListInfo) {
  return { authority_id: authorityId, role, entries, this_update: time(thisUpdate), next_update: time(nextUpdate) };
}

/** A cursor names the last revocation of a page, which may be removed in the meantime. */
type Position = Pick<Revocation, 'revokedAt' | 'serial'>;

/** @param all newest first; those of the same moment by serial number */
function firstAfter(all: readonly Revocation[], { revokedAt, serial }: Position): number {
  const at = all.findIndex(
    (one) => one.revokedAt < revokedAt || (one.revokedAt === revokedAt && compareText(one.serial, serial) > 0),
  );
  return at === -1 ? all.length : at;
}

function writeCursor({ revokedAt, serial }: Position): string {
  return Buffer.from(`${revokedAt} ${serial}`).toString('base64url');
}

/** @throws ERR_BAD_INPUT for a cursor that no page returned */
function readCursor(cursor: string): Position {
  const match = /^(\d{1,15}) ([0-9a-f]{1,40})$/.exec(Buffer.from(cursor, 'base64url').toString());
  const position = match === null ? undefined : { revokedAt: Number(match[1]), serial: match[2]! };
  // Encoded again for comparison, since the decoder skips invalid characters.
  if (position !== undefined && writeCursor(position) === cursor) return position;
  const rule = 'a cursor is the next_cursor of the page before, unchanged';
  throw SidekeyError.badInput([{ path: '?cursor', problem: 'it is not a cursor', rule }]);
}
