/** Which agent calls, and whether its SVID counts. */

import type { Actor, Refusal } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import type { Agent, Registry } from '../registry/index.ts';
import { type Call, Status, StatusError } from '../wire/index.ts';
import type { AgentCounts, Denial } from './counts.ts';
import { denied } from './denied.ts';
import type { AgentPeer, PeerSvid } from './peer.ts';

export interface AccessParts {
  readonly registry: Pick<Registry, 'agents' | 'revocations'>;
  readonly clock: Clock;
  readonly counts: AgentCounts;
  readonly onRefused: (refusal: Refusal) => void;
}

/** An agent that may call now. */
export interface Caller {
  readonly agent: Agent;
  readonly svid: PeerSvid;
}

export class Access {
  readonly #parts: AccessParts;

  constructor(parts: AccessParts) {
    this.#parts = parts;
  }

  /**
   * The agent that calls. Its first call with a renewed SVID makes that the current one.
   * @throws StatusError PERMISSION_DENIED; ERR_STORE
   */
  async require(call: Pick<Call<AgentPeer>, 'peer'>): Promise<Caller> {
    const { agents } = this.#parts.registry;
    const { svid } = call.peer;
    const why = this.whyNot(svid);
    if (why !== undefined || svid === undefined) throw this.deny(call.peer, why ?? 'no-svid');
    const agent = agents.require(svid.id);
    if (agent.newSerial !== svid.serial) return { agent, svid };
    const changed = await agents.confirmed(svid.id, svid.serial);
    if (changed !== undefined) throw this.deny(call.peer, changed);
    return { agent: agents.require(svid.id), svid };
  }

  /** Why the client may not call as an agent now; undefined: it may. */
  whyNot(svid: PeerSvid | undefined): Denial | undefined {
    const { registry, clock } = this.#parts;
    if (svid === undefined) return 'no-svid';
    if (svid.notAfter <= clock.now()) return 'expired';
    if (registry.revocations.get(svid.serial) !== undefined) return 'not-active';
    return registry.agents.whyNot(svid.id, svid.serial);
  }

  /** Counts a denial, and notes it for the audit. */
  deny(peer: AgentPeer, denial: Denial): StatusError {
    this.#parts.counts.denied.add(denial);
    this.#parts.onRefused({ action: 'agent.refused', by: actorOf(peer), code: denial });
    return denied(denial);
  }

  /** A refused attestation. */
  refuseAttestation(peer: AgentPeer, type: string, reason: string): StatusError {
    this.#parts.counts.attestations.add('refused');
    this.#parts.onRefused({
      ...{ action: 'agent.refused', by: actorOf(peer), code: 'attestation', what: type },
      first: { reason },
    });
    return new StatusError(Status.INVALID_ARGUMENT, reason);
  }
}

/** Who calls, for the audit. */
export function actorOf({ svid, address }: Pick<AgentPeer, 'svid' | 'address'>): Actor {
  return svid === undefined ? { kind: 'stranger', address } : { kind: 'agent', id: svid.id, address };
}
