/** SPIRE's Agent service: agents attest themselves, renew their SVIDs, and report their versions. */

import type { Actor } from '../audit/index.ts';
import { type Clock, type Deadline, SidekeyError } from '../base/index.ts';
import { type CertificateAuthority, type CertifiedSvid, CsrError } from '../ca/index.ts';
import {
  AttestAgentRequest,
  AttestAgentResponse,
  PostStatusRequest,
  PostStatusResponse,
  RenewAgentRequest,
  RenewAgentResponse,
} from '../gen/spire/api/server/agent.ts';
import type { Rates } from '../limits/index.ts';
import { type JoinToken, joinedAgentId, type Registry } from '../registry/index.ts';
import type { SpiffeId } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { decodeRequest, type Method, Status, StatusError, type Stream, type StreamHandler } from '../wire/index.ts';
import type { Access } from './access.ts';
import type { ChainLink } from './attest/chain.ts';
import { AttestationError, type Conversation, type Proven } from './attest/types.ts';
import { X509Pop } from './attest/x509pop.ts';
import type { AgentCounts } from './counts.ts';
import { svidMessage } from './messages.ts';
import type { AgentPeer } from './peer.ts';

export interface AgentServiceParts {
  readonly registry: Registry;
  readonly ca: Pick<CertificateAuthority, 'certify'>;
  readonly access: Access;
  readonly counts: AgentCounts;
  readonly attestRates: Rates;
  /** Authorities of agents' certificates; undefined: x509pop is off. */
  readonly popRoots: readonly ChainLink[] | undefined;
  /** TTL of agents' SVIDs, in seconds. */
  readonly agentTtl: number;
  readonly clock: Clock;
  readonly log: Log;
}

const PATH = '/spire.api.server.agent.v1.Agent';
/** An attestation that takes longer is ended. */
const ATTEST_MS = 20_000;
const MAX_TOKEN_BYTES = 1_024;
/** Of a reported version: printable ASCII. */
const VERSION = /^[!-~ ]{0,64}$/;

export function agentService(parts: AgentServiceParts): Method<AgentPeer>[] {
  const { registry, access } = parts;
  return [
    { path: `${PATH}/AttestAgent`, kind: 'bidirectional', open: (stream) => new Attestation(stream, parts) },
    {
      path: `${PATH}/RenewAgent`,
      kind: 'unary',
      call: async (call, bytes) => {
        const { params } = decodeRequest(RenewAgentRequest, 'RenewAgentRequest', bytes);
        const { agent, svid: present } = await access.require(call);
        if (agent.canReattest) throw access.deny(call.peer, 'must-reattest');
        const svid = await certify(parts, agent.id, params?.csr ?? new Uint8Array());
        const why = access.whyNot(present) ?? (await registry.agents.renewed(agent.id, present.serial, svid));
        if (why !== undefined) throw access.deny(call.peer, why);
        parts.log.info({ agent: agent.id, serial: svid.serial }, 'an agent renewed its SVID');
        return RenewAgentResponse.encode({ svid: svidMessage(svid) }).finish();
      },
    },
    {
      path: `${PATH}/PostStatus`,
      kind: 'unary',
      call: async (call, bytes) => {
        const { agentVersion } = decodeRequest(PostStatusRequest, 'PostStatusRequest', bytes);
        const { agent, svid } = await access.require(call);
        if (!VERSION.test(agentVersion)) {
          throw new StatusError(Status.INVALID_ARGUMENT, 'agent_version has up to 64 printable ASCII characters');
        }
        const why = await registry.agents.reported(agent.id, svid.serial, agentVersion);
        if (why !== undefined) throw access.deny(call.peer, why);
        return PostStatusResponse.encode({}).finish();
      },
    },
  ];
}

/** An SVID for an agent, on record. @throws StatusError */
async function certify(
  { ca, agentTtl, counts, log }: AgentServiceParts,
  spiffeId: SpiffeId,
  csr: Uint8Array,
): Promise<CertifiedSvid> {
  const request = { entryId: '', spiffeId, dnsNames: [], ttl: agentTtl, notAfter: 0, csr };
  const fault = (error: unknown): StatusError => {
    counts.svids.add('refused');
    if (error instanceof CsrError) return new StatusError(Status.INVALID_ARGUMENT, error.message);
    log.error({ err: error, agent: spiffeId }, 'an SVID for an agent could not be made');
    return new StatusError(Status.UNAVAILABLE, 'the SVID cannot be signed now; the log of the server has the reason');
  };
  const [result] = await ca.certify([request]).catch((error: unknown) => Promise.reject(fault(error)));
  if (result === undefined || 'fault' in result) throw fault(result?.fault);
  counts.svids.add('ok');
  return result.svid;
}

/** The conversation of one AttestAgent call. */
class Attestation implements StreamHandler {
  readonly #stream: Stream<AgentPeer>;
  readonly #parts: AgentServiceParts;
  readonly #late: Deadline;
  #type = '';
  #csr: Uint8Array = new Uint8Array();
  /** Undefined: it has not begun. */
  #conversation: Conversation | undefined;
  /** A message is being answered. */
  #isBusy = false;
  #isOver = false;

  constructor(stream: Stream<AgentPeer>, parts: AgentServiceParts) {
    this.#stream = stream;
    this.#parts = parts;
    this.#late = parts.clock.after(ATTEST_MS, () => {
      this.#end(new StatusError(Status.DEADLINE_EXCEEDED, 'the attestation took too long'));
    });
    if (!parts.attestRates.take(stream.peer.address)) {
      throw new StatusError(Status.RESOURCE_EXHAUSTED, 'too many attestations from this address: try again later');
    }
  }

  message(bytes: Uint8Array): void {
    if (this.#isBusy) throw new StatusError(Status.INVALID_ARGUMENT, 'a message came before the former was answered');
    const { params, challengeResponse } = decodeRequest(AttestAgentRequest, 'AttestAgentRequest', bytes);
    this.#isBusy = true;
    const step = this.#conversation === undefined ? this.#begin(params) : this.#answer(challengeResponse);
    step.then(
      () => {
        this.#isBusy = false;
      },
      (error: unknown) => this.#fail(error),
    );
  }

  halfClose(): void {
    if (!this.#isBusy) this.#end(new StatusError(Status.INVALID_ARGUMENT, 'the attestation ended before its result'));
  }

  closed(): void {
    this.#isOver = true;
    this.#late.cancel();
  }

  async #begin(params: AttestAgentRequest['params']): Promise<void> {
    if (params?.data === undefined) throw new AttestationError('the first message has params with data');
    const { type, payload } = params.data;
    this.#csr = params.params?.csr ?? new Uint8Array();
    this.#type = type;
    const { popRoots, registry, clock } = this.#parts;
    if (type === 'join_token') return this.#join(payload);
    if (type !== 'x509pop' || popRoots === undefined) {
      this.#type = 'other';
      const types = popRoots === undefined ? 'join_token' : 'join_token and x509pop';
      throw new AttestationError(`this server attests agents by ${types}, not by ${JSON.stringify(type.slice(0, 40))}`);
    }
    this.#conversation = new X509Pop({
      trustDomain: registry.trustDomain,
      roots: popRoots,
      now: () => clock.now(),
    });
    await this.#answer(payload);
  }

  async #answer(message: Uint8Array | undefined): Promise<void> {
    if (message === undefined) throw new AttestationError('the answer to a challenge is a challenge_response');
    const answer = this.#conversation!.answer(message);
    if (!('challenge' in answer)) return this.#finish(await this.#attested(answer), answer.canReattest);
    this.#stream.send(
      AttestAgentResponse.encode({ result: undefined, challenge: Buffer.from(answer.challenge) }).finish(),
    );
  }

  async #join(payload: Uint8Array): Promise<void> {
    const { agents, trustDomain } = this.#parts.registry;
    const text = payload.length > MAX_TOKEN_BYTES ? '' : Buffer.from(payload).toString('utf8');
    const svid = await agents.withToken(text, (token) => {
      const { hash, alias } = token;
      const id = joinedAgentId(trustDomain, hash);
      return this.#attested({ id, attestationType: 'join_token', selectors: [], alias, canReattest: false }, token);
    });
    if (svid === undefined) {
      throw new AttestationError(
        'the join token is unknown, was used, or has expired: make one with sidekey agent token',
      );
    }
    this.#finish(svid, false);
  }

  /** Makes the SVID, and records both. */
  async #attested(proven: Proven, token?: JoinToken): Promise<CertifiedSvid> {
    const { registry, access, counts, log } = this.#parts;
    const { peer } = this.#stream;
    if (registry.agents.get(proven.id)?.banned === true) throw access.deny(peer, 'banned');
    const svid = await certify(this.#parts, proven.id, this.#csr);
    const { serial, notAfter } = svid;
    const agent = await registry.agents.attested({ ...proven, serial, notAfter }, this.#actor(proven.id), token);
    if (agent === undefined) throw access.deny(peer, 'banned');
    counts.attestations.add('ok');
    log.info(
      { agent: agent.id, attestation: agent.attestationType, address: peer.address, serial },
      'an agent attested itself',
    );
    return svid;
  }

  #finish(svid: CertifiedSvid, reattestable: boolean): void {
    if (this.#isOver) return;
    const result = { svid: svidMessage(svid), reattestable };
    this.#stream.send(AttestAgentResponse.encode({ result, challenge: undefined }).finish());
    this.#isOver = true;
    this.#stream.end(Status.OK, '');
  }

  #fail(error: unknown): void {
    const { access, log } = this.#parts;
    const { peer } = this.#stream;
    if (error instanceof StatusError) this.#end(error);
    else if (error instanceof AttestationError) {
      log.warn(
        { address: peer.address, attestation: this.#type, reason: error.message },
        'the attestation of an agent was refused',
      );
      this.#end(access.refuseAttestation(peer, this.#type, error.message));
    } else {
      log.error({ err: error, address: peer.address }, 'the attestation of an agent failed');
      const isLimit = error instanceof SidekeyError && error.code === 'ERR_BAD_INPUT';
      const status = isLimit ? Status.RESOURCE_EXHAUSTED : Status.UNAVAILABLE;
      this.#end(new StatusError(status, 'the agent cannot be attested now; the log of the server has the reason'));
    }
  }

  #end({ status, message, details }: StatusError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stream.end(status, message, details);
  }

  #actor(id: SpiffeId): Actor {
    return { kind: 'agent', id, address: this.#stream.peer.address };
  }
}
