/** SPIRE's SVID service: SVIDs of the entries of an agent, for keys that stay with it. */

import type { Clock } from '../base/index.ts';
import { SidekeyError } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import { CsrError } from '../ca/index.ts';
import {
  BatchNewX509SVIDRequest,
  BatchNewX509SVIDResponse,
  type BatchNewX509SVIDResponse_Result,
  NewJWTSVIDRequest,
  NewJWTSVIDResponse,
} from '../gen/spire/api/server/svid.ts';
import { AudienceError, type JwtSvids } from '../jwt/index.ts';
import { Rates } from '../limits/index.ts';
import type { Entry } from '../registry/index.ts';
import type { SpiffeId } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { decodeRequest, type Method, Status, StatusError } from '../wire/index.ts';
import type { Access } from './access.ts';
import type { AuthorizedEntries } from './authorized.ts';
import type { AgentCounts } from './counts.ts';
import { idMessage, seconds, svidMessage } from './messages.ts';
import type { AgentPeer } from './peer.ts';

export interface SvidServiceParts {
  readonly ca: Pick<CertificateAuthority, 'certify'>;
  readonly jwtSvids: Pick<JwtSvids, 'sign'>;
  readonly access: Access;
  readonly authorized: AuthorizedEntries;
  readonly counts: AgentCounts;
  readonly clock: Clock;
  readonly log: Log;
}

const PATH = '/spire.api.server.svid.v1.SVID';
/** Number of requests in a batch, and of SVIDs that an agent gets in a second; a burst may be twice as large. */
const MOST_AT_ONCE = 500;
const MOST_BURST = 2 * MOST_AT_ONCE;

export function svidService(parts: SvidServiceParts): Method<AgentPeer>[] {
  const { ca, jwtSvids, access, authorized, counts, clock, log } = parts;
  const rates = new Rates(MOST_BURST, MOST_AT_ONCE, clock);
  return [
    {
      path: `${PATH}/BatchNewX509SVID`,
      kind: 'unary',
      call: async (call, bytes) => {
        const { params } = decodeRequest(BatchNewX509SVIDRequest, 'BatchNewX509SVIDRequest', bytes);
        const { agent, svid } = await access.require(call);
        if (params.length > MOST_AT_ONCE) {
          throw tooMany(`a batch has at most ${MOST_AT_ONCE} requests, not ${params.length}`);
        }
        if (!rates.take(agent.id, params.length)) {
          throw tooMany(`an agent gets at most ${MOST_AT_ONCE} SVIDs a second, ${MOST_BURST} at once`);
        }
        const view = authorized.view(agent.id);
        try {
          const entries = params.map(({ entryId }) => view.entries.get(entryId));
          const requests = entries.flatMap((entry, at) =>
            entry === undefined ? [] : [{ ...contentsOf(entry), csr: params[at]!.csr }],
          );
          const made = await ca.certify(requests).catch((err: unknown) => {
            log.error({ err, agent: agent.id }, 'SVIDs for an agent could not be recorded: it gets none');
            throw unavailable();
          });
          // Meanwhile the agent may have been banned, and an entry taken from it.
          const why = access.whyNot(svid);
          if (why !== undefined) throw access.deny(call.peer, why);
          let next = 0;
          const results = entries.map((entry): BatchNewX509SVIDResponse_Result => {
            const certified = entry === undefined ? undefined : made[next++]!;
            if (certified === undefined || view.entries.get(entry!.id) !== entry) {
              return failed(Status.NOT_FOUND, 'the agent has no such entry');
            }
            if ('svid' in certified)
              return { status: { code: 0, message: 'OK' }, svid: svidMessage(certified.svid, entry!.hint) };
            const { fault } = certified;
            if (fault instanceof CsrError) return failed(Status.INVALID_ARGUMENT, fault.message);
            log.error({ err: fault, agent: agent.id, entry_id: entry!.id }, 'an SVID for an agent could not be signed');
            return failed(Status.UNAVAILABLE, 'the SVID cannot be signed now; the log of the server has the reason');
          });
          for (const { svid: given } of results) counts.svids.add(given === undefined ? 'refused' : 'ok');
          return BatchNewX509SVIDResponse.encode({ results }).finish();
        } finally {
          view.release();
        }
      },
    },
    {
      path: `${PATH}/NewJWTSVID`,
      kind: 'unary',
      call: async (call, bytes) => {
        const { entryId, audience } = decodeRequest(NewJWTSVIDRequest, 'NewJWTSVIDRequest', bytes);
        const { agent, svid } = await access.require(call);
        const view = authorized.view(agent.id);
        try {
          const entry = view.entries.get(entryId);
          if (entry === undefined) throw new StatusError(Status.NOT_FOUND, 'the agent has no such entry');
          const spiffeId = entry.spiffeId as SpiffeId;
          const signed = await jwtSvids.sign({ spiffeId, entry, audiences: audience }).catch(rethrow);
          const why = access.whyNot(svid);
          if (why !== undefined) throw access.deny(call.peer, why);
          const { token, issuedAt, expiresAt } = signed;
          const times = { issuedAt: seconds(issuedAt), expiresAt: seconds(expiresAt) };
          return NewJWTSVIDResponse.encode({
            svid: { token, id: idMessage(spiffeId), ...times, hint: entry.hint },
          }).finish();
        } finally {
          view.release();
        }
      },
    },
  ];
}

function contentsOf({ id, spiffeId, dnsNames, x509SvidTtl: ttl, expiresAt: notAfter }: Entry) {
  return { entryId: id, spiffeId: spiffeId as SpiffeId, dnsNames, ttl, notAfter };
}

/** Stock agents end if a result has no status, so each has one. */
function failed(code: number, message: string): BatchNewX509SVIDResponse_Result {
  return { status: { code, message }, svid: undefined };
}

function tooMany(problem: string): StatusError {
  return new StatusError(Status.RESOURCE_EXHAUSTED, problem);
}

function unavailable(): StatusError {
  return new StatusError(Status.UNAVAILABLE, 'no SVID can be signed now; the log of the server has the reason');
}

function rethrow(error: unknown): never {
  if (error instanceof AudienceError) throw new StatusError(Status.INVALID_ARGUMENT, error.message, { cause: error });
  if (error instanceof SidekeyError) throw new StatusError(Status.UNAVAILABLE, error.message, { cause: error });
  throw error;
}
