/** SPIRE's SVID service: SVIDs of the entries of an agent, for keys that stay with it. */

import type { Clock } from '../base/index.ts';
import { SidekeyError } from '../base/index.ts';
import { type CertificateAuthority, CsrError, uriOfCsr } from '../ca/index.ts';
import {
  BatchNewX509SVIDRequest,
  BatchNewX509SVIDResponse,
  NewJWTSVIDRequest,
  NewJWTSVIDResponse,
  type BatchNewX509SVIDResponse_Result as Result,
} from '../gen/spire/api/server/svid.ts';
import { AudienceError, type JwtSvids } from '../jwt/index.ts';
import { Rates } from '../limits/index.ts';
import { type Entry, type Registry, templateOf } from '../registry/index.ts';
import type { SpiffeId } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { decodeRequest, type Method, Status, StatusError } from '../wire/index.ts';
import type { Access } from './access.ts';
import type { AuthorizedEntries, View } from './authorized.ts';
import type { AgentCounts } from './counts.ts';
import { idMessage, seconds, svidMessage } from './messages.ts';
import type { AgentPeer } from './peer.ts';
import { RenderedIds } from './rendered-ids.ts';

export interface SvidServiceParts {
  readonly registry: Pick<Registry, 'couldRender' | 'names'>;
  readonly ca: Pick<CertificateAuthority, 'certify'>;
  readonly jwtSvids: Pick<JwtSvids, 'sign'>;
  readonly access: Access;
  readonly authorized: AuthorizedEntries;
  readonly counts: AgentCounts;
  readonly clock: Clock;
  readonly log: Log;
}

type CsrRequest = Parameters<CertificateAuthority['certify']>[0][number];
type Certified = Awaited<ReturnType<CertificateAuthority['certify']>>[number];

const PATH = '/spire.api.server.svid.v1.SVID';
/** Number of requests in a batch, and of SVIDs that an agent gets in a second; a burst may be twice as large. */
const MOST_AT_ONCE = 500;
const MOST_BURST = 2 * MOST_AT_ONCE;
const NO_ENTRY = { code: Status.NOT_FOUND, why: 'the agent has no such entry' } as const;
/** The request has no field for the SPIFFE ID that the template rendered. */
const NO_TOKEN = 'the entry has a template: its workloads on other hosts get X.509-SVIDs, and no tokens';

interface BatchParam {
  readonly entryId: string;
  readonly csr: Uint8Array;
}

/** What the authority is asked for, or why it is not asked. */
type Order = { readonly entry: Entry; readonly request: CsrRequest } | { readonly code: number; readonly why: string };

export function svidService(parts: SvidServiceParts): Method<AgentPeer>[] {
  const { registry, ca, jwtSvids, access, authorized, counts, clock, log } = parts;
  const rates = new Rates(MOST_BURST, MOST_AT_ONCE, clock);
  const renderedIds = new RenderedIds({ registry, clock });
  const orderOf = (agentId: string, view: View, { entryId, csr }: BatchParam): Order => {
    const entry = view.all.get(entryId);
    if (entry === undefined) return NO_ENTRY;
    try {
      const spiffeId =
        templateOf(entry) === undefined
          ? (entry.spiffeId as SpiffeId)
          : renderedIds.check(agentId, entry, uriOfCsr(csr));
      return { entry, request: { ...contentsOf(entry), spiffeId, csr } };
    } catch (error) {
      if (error instanceof CsrError || error instanceof SidekeyError) {
        return { code: Status.INVALID_ARGUMENT, why: error.message };
      }
      throw error;
    }
  };
  const resultOf = (agentId: string, view: View, order: Order, made: Certified | undefined): Result => {
    if ('code' in order) return failed(order.code, order.why);
    const { entry, request } = order;
    // Meanwhile the entry may have been taken from the agent, or the rendered ID given to another entry.
    const isStill = view.all.get(entry.id) === entry;
    const isTaken = templateOf(entry) !== undefined && registry.names(request.spiffeId);
    if (made === undefined || !isStill || isTaken) return failed(NO_ENTRY.code, NO_ENTRY.why);
    if ('svid' in made) {
      const { svid } = made;
      if (templateOf(entry) !== undefined) renderedIds.issued(agentId, entry.id, svid.spiffeId, svid.notAfter);
      return { status: { code: 0, message: 'OK' }, svid: svidMessage(svid, entry.hint) };
    }
    const { fault } = made;
    if (fault instanceof CsrError) return failed(Status.INVALID_ARGUMENT, fault.message);
    log.error({ err: fault, agent: agentId, entry_id: entry.id }, 'an SVID for an agent could not be signed');
    return failed(Status.UNAVAILABLE, 'the SVID cannot be signed now; the log of the server has the reason');
  };
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
          const orders = params.map((one) => orderOf(agent.id, view, one));
          const requests = orders.flatMap((order) => ('request' in order ? [order.request] : []));
          const made = await ca.certify(requests).catch((err: unknown) => {
            log.error({ err, agent: agent.id }, 'SVIDs for an agent could not be recorded: it gets none');
            throw unavailable();
          });
          // Meanwhile the agent may have been banned.
          const why = access.whyNot(svid);
          if (why !== undefined) throw access.deny(call.peer, why);
          let next = 0;
          const results = orders.map((order) => {
            return resultOf(agent.id, view, order, 'request' in order ? made[next++] : undefined);
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
          const entry = view.all.get(entryId);
          if (entry === undefined) throw new StatusError(NO_ENTRY.code, NO_ENTRY.why);
          if (templateOf(entry) !== undefined) throw new StatusError(Status.UNIMPLEMENTED, NO_TOKEN);
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

function contentsOf({ id, dnsNames, x509SvidTtl: ttl, expiresAt: notAfter }: Entry) {
  return { entryId: id, dnsNames, ttl, notAfter };
}

/** Stock agents end if a result has no status, so each has one. */
function failed(code: number, message: string): Result {
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
