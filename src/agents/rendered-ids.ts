/**
 * The SPIFFE IDs that agents have rendered from templates. Which workload has which facts is the agent's word, so an agent
 * may use any ID that a template of its entries renders; how many at a time is limited.
 */

import { type Clock, SidekeyError } from '../base/index.ts';
import { type Entry, isReservedSegment, type Registry } from '../registry/index.ts';
import { parseSpiffeId, pathOf, type SpiffeId, SpiffeIdError } from '../spiffe/index.ts';

export interface RenderedIdsParts {
  readonly registry: Pick<Registry, 'couldRender' | 'names'>;
  readonly clock: Pick<Clock, 'now'>;
}

/** SPIFFE IDs that one agent has of one template, as on the server's own host, and of all its templates. */
const MAX_OF_TEMPLATE = 1_000;
const MAX_OF_AGENT = 10_000;
/** Until it is signed, an SVID counts as one that ends after this time, in milliseconds. */
const ASKED_MS = 60_000;
/** Minimum interval of the searches for IDs that count no more, because many may be refused at a time. */
const SWEEP_MS = 1_000;

export class RenderedIds {
  readonly #parts: RenderedIdsParts;
  /** By agent, then by entry and SPIFFE ID: the end of the last SVID, in milliseconds since the epoch. */
  readonly #used = new Map<string, Map<string, Map<string, number>>>();
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(parts: RenderedIdsParts) {
    this.#parts = parts;
  }

  /**
   * The SPIFFE ID, if the agent may have an SVID with it now for this entry. It counts as used from now on.
   * @param text as the agent asks for it
   * @throws SidekeyError ERR_BAD_INPUT with the reason
   */
  check(agentId: string, { id, spiffeId: template }: Entry, text: string): SpiffeId {
    const { registry } = this.#parts;
    const refuse = (why: string) => new SidekeyError('ERR_BAD_INPUT', `${JSON.stringify(text.slice(0, 300))} ${why}`);
    let spiffeId: SpiffeId;
    try {
      spiffeId = parseSpiffeId(text);
    } catch (error) {
      if (error instanceof SpiffeIdError) throw refuse(`is no SPIFFE ID: ${error.message}`);
      throw error;
    }
    if (!registry.couldRender(spiffeId).some((entry) => entry.id === id)) {
      throw refuse(`is no SPIFFE ID that the template ${template} renders`);
    }
    if (isReservedSegment(pathOf(spiffeId).split('/', 2)[1]!)) {
      throw refuse('is below a path that is reserved for the servers of the trust domain');
    }
    if (registry.names(spiffeId)) throw refuse('is the ID of another entry, and a template never makes such an ID');
    if (!this.#hasRoom(agentId, id, spiffeId)) {
      throw refuse(
        `is one too many: the agent has ${MAX_OF_TEMPLATE} of this template, or ${MAX_OF_AGENT} of all, in SVIDs that have not ended`,
      );
    }
    this.issued(agentId, id, spiffeId, this.#parts.clock.now() + ASKED_MS);
    return spiffeId;
  }

  /** Notes that an SVID was issued; it counts until its end, in milliseconds since the epoch. */
  issued(agentId: string, entryId: string, spiffeId: SpiffeId, notAfter: number): void {
    const ofAgent = this.#used.get(agentId) ?? new Map<string, Map<string, number>>();
    const ofEntry = ofAgent.get(entryId) ?? new Map<string, number>();
    ofEntry.set(spiffeId, Math.max(ofEntry.get(spiffeId) ?? 0, notAfter));
    this.#used.set(agentId, ofAgent.set(entryId, ofEntry));
  }

  #hasRoom(agentId: string, entryId: string, spiffeId: SpiffeId): boolean {
    const ofAgent = this.#used.get(agentId);
    if (ofAgent === undefined || ofAgent.get(entryId)?.has(spiffeId) === true) return true;
    const isFull = () => (ofAgent.get(entryId)?.size ?? 0) >= MAX_OF_TEMPLATE || sizeOf(ofAgent) >= MAX_OF_AGENT;
    if (isFull()) this.#sweep();
    return !isFull();
  }

  /** Forgets what has ended. */
  #sweep(): void {
    const now = this.#parts.clock.now();
    if (now - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = now;
    for (const [agentId, ofAgent] of this.#used) {
      for (const [entryId, ofEntry] of ofAgent) {
        for (const [id, until] of ofEntry) if (until <= now) ofEntry.delete(id);
        if (ofEntry.size === 0) ofAgent.delete(entryId);
      }
      if (ofAgent.size === 0) this.#used.delete(agentId);
    }
  }
}

function sizeOf(ofAgent: ReadonlyMap<string, ReadonlyMap<string, number>>): number {
  let size = 0;
  for (const { size: ofEntry } of ofAgent.values()) size += ofEntry;
  return size;
}
