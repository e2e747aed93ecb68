/** The agents that may attach: their records, which SVIDs of theirs count, bans, and the tokens by which they join. */

import { type Actor, SERVER } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import type { SpiffeId } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { type Agent, type JoinToken, joinTokenHash, newJoinToken } from './agent.ts';
import { agentEvent, joinTokenEvent } from './audit-events.ts';
import { Named } from './named.ts';
import type { AgentStore } from './store/agent-store.ts';
import { noSuchName } from './store/conflict.ts';
import type { NamedStore } from './store/named-store.ts';
import type { WriteQueue } from './write-queue.ts';

export const MAX_AGENTS = 10_000;
const MAX_JOIN_TOKENS = 10_000;

export interface AgentsParts {
  readonly store: AgentStore;
  readonly tokens: NamedStore<JoinToken>;
  readonly queue: WriteQueue;
  readonly clock: Clock;
  readonly log: Log;
}

/** What an attestation found out. */
export type Attested = Pick<Agent, 'id' | 'attestationType' | 'selectors' | 'alias' | 'canReattest'> &
  Pick<Agent, 'serial' | 'notAfter'>;

/** Why the SVID of an agent does not count; undefined: it does. */
export type WhyNot = 'not-attested' | 'banned' | 'not-active';

export interface JoinTokenInput {
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly alias: SpiffeId | '';
}

export class Agents {
  readonly #agents: Named<Agent>;
  readonly #tokens: Named<JoinToken>;
  readonly #store: AgentStore;
  readonly #clock: Clock;
  /** Hashes of the tokens with which agents join now. */
  readonly #joining = new Set<string>();

  private constructor(
    agents: Named<Agent>,
    tokens: Named<JoinToken>,
    { store, clock }: Pick<AgentsParts, 'store' | 'clock'>,
  ) {
    this.#agents = agents;
    this.#tokens = tokens;
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws ERR_STORE */
  static async open({ store, tokens, ...parts }: AgentsParts): Promise<Agents> {
    const agents = await Named.open<Agent>({
      ...{ ...parts, store, nameOf: ({ id }) => id },
      ...{ eventOf: agentEvent, what: 'agent', limit: MAX_AGENTS },
    });
    const joinTokens = await Named.open<JoinToken>({
      ...{ ...parts, store: tokens, nameOf: ({ hash }) => hash },
      ...{ eventOf: joinTokenEvent, what: 'join token', limit: MAX_JOIN_TOKENS },
    });
    return new Agents(agents, joinTokens, { store, clock: parts.clock });
  }

  get size(): number {
    return this.#agents.size;
  }

  get(id: string): Agent | undefined {
    return this.#agents.get(id);
  }

  /** Sorted by ID. */
  list(): Agent[] {
    return this.#agents.list();
  }

  /** @throws ERR_NOT_FOUND */
  require(id: string): Agent {
    const agent = this.#agents.get(id);
    if (agent === undefined) throw noSuchName('agent', id);
    return agent;
  }

  /** Number of join tokens that may be used. */
  get joinTokens(): number {
    const now = this.#clock.now();
    return this.#tokens.list().filter(({ expiresAt }) => expiresAt > now).length;
  }

  /**
   * Makes a join token. Durable when the promise resolves; its text is not kept.
   * @throws ERR_BAD_INPUT if there are too many; ERR_STORE
   */
  async createToken(
    { expiresAt, alias }: JoinTokenInput,
    by: Actor = SERVER,
  ): Promise<{ token: JoinToken; text: string }> {
    await this.#forgetExpired();
    const text = newJoinToken();
    const made = { hash: joinTokenHash(text), alias, createdAt: this.#clock.now(), expiresAt };
    const { value: token } = await this.#tokens.put(made.hash, by, () => made);
    return { token, text };
  }

  /**
   * Lets one agent join with a token: takes it and runs `join`, which gives it to `attested`, so that of several agents with
   * the same token one joins at most. If `join` throws, the token may be used again.
   * @returns undefined if there is no such token, it has expired, or is in use @throws what `join` throws; ERR_STORE
   */
  async withToken<T>(text: string, join: (token: JoinToken) => Promise<T>): Promise<T | undefined> {
    const token = this.#tokens.get(joinTokenHash(text));
    if (token === undefined || token.expiresAt <= this.#clock.now() || this.#joining.has(token.hash)) return undefined;
    this.#joining.add(token.hash);
    try {
      return await join(token);
    } finally {
      this.#joining.delete(token.hash);
    }
  }

  /**
   * Records an attestation: its SVID counts, and no earlier one. Durable when the promise resolves.
   * @param token with which it joined; it is deleted in the same transaction
   * @returns undefined if the agent is banned @throws ERR_BAD_INPUT if there are too many; ERR_STORE
   */
  async attested(agent: Attested, by: Actor, token?: JoinToken): Promise<Agent | undefined> {
    const make = (before: Agent | undefined): Agent => {
      if (before?.banned) return before;
      const { version = '', createdAt = this.#clock.now() } = before ?? {};
      return { ...agent, newSerial: '', newNotAfter: 0, banned: false, version, createdAt };
    };
    const join: AgentStore['put'] = async (value, replaces, events = []) => {
      const { done, ...deletion } = this.#tokens.deletion(token!.hash, by);
      const revision = await this.#store.join(value, replaces, { hash: token!.hash, ...deletion }, events);
      done();
      return revision;
    };
    const { value } = await this.#agents.put(agent.id, by, make, token && join);
    return value.banned ? undefined : value;
  }

  /**
   * Records a renewed SVID, which counts beside the present one until it is used.
   * @param serial of the SVID with which the agent asked
   * @returns why not, if that one does not count any more @throws ERR_STORE
   */
  renewed(id: string, serial: string, next: Pick<Agent, 'serial' | 'notAfter'>): Promise<WhyNot | undefined> {
    return this.#change(id, serial, (agent) => ({ ...agent, newSerial: next.serial, newNotAfter: next.notAfter }));
  }

  /** Notes that the agent uses its renewed SVID: the former one counts no more. @throws ERR_STORE */
  confirmed(id: string, serial: string): Promise<WhyNot | undefined> {
    return this.#change(id, serial, (agent) =>
      agent.newSerial === serial
        ? { ...agent, serial, notAfter: agent.newNotAfter, newSerial: '', newNotAfter: 0 }
        : agent,
    );
  }

  /** @throws ERR_STORE */
  reported(id: string, serial: string, version: string): Promise<WhyNot | undefined> {
    return this.#change(id, serial, (agent) => (agent.version === version ? agent : { ...agent, version }));
  }

  /** Bans an agent: it gets nothing more, and cannot attest itself again. @throws ERR_NOT_FOUND, ERR_STORE */
  async ban(id: string, by: Actor = SERVER): Promise<Agent> {
    const { value } = await this.#agents.put(id, by, (before) => {
      if (before === undefined) throw noSuchName('agent', id);
      return before.banned ? before : { ...before, banned: true };
    });
    return value;
  }

  /** Forgets an agent: its SVID counts no more, and it must attest itself again. @throws ERR_NOT_FOUND, ERR_STORE */
  evict(id: string, by: Actor = SERVER): Promise<void> {
    return this.#agents.delete(id, by);
  }

  /** Whether an SVID of this agent counts, by its serial number. */
  whyNot(id: string, serial: string): WhyNot | undefined {
    return whyNot(this.#agents.get(id), serial);
  }

  /** Calls the listener when this agent's record changes. @returns a function that removes it */
  watch(id: string, listener: () => void): () => void {
    return this.#agents.watch(id, listener);
  }

  /** Calls the listener with the ID of each agent that changes. @returns a function that removes it */
  onChange(listener: (id: string) => void): () => void {
    return this.#agents.onChange(listener);
  }

  async #change(id: string, serial: string, change: (agent: Agent) => Agent): Promise<WhyNot | undefined> {
    let why: WhyNot | undefined;
    const known = this.#agents.get(id);
    if (known === undefined) return 'not-attested';
    try {
      await this.#agents.put(id, SERVER, (before) => {
        why = whyNot(before, serial);
        if (before === undefined) throw noSuchName('agent', id);
        return why === undefined ? change(before) : before;
      });
    } catch (error) {
      if (why === undefined) throw error;
    }
    return why;
  }

  async #forgetExpired(): Promise<void> {
    const now = this.#clock.now();
    for (const { hash, expiresAt } of this.#tokens.list()) {
      if (expiresAt <= now && !this.#joining.has(hash)) await this.#tokens.delete(hash, SERVER).catch(() => undefined);
    }
  }
}

function whyNot(agent: Agent | undefined, serial: string): WhyNot | undefined {
  if (agent === undefined) return 'not-attested';
  if (agent.banned) return 'banned';
  return serial === agent.serial || (serial !== '' && serial === agent.newSerial) ? undefined : 'not-active';
}
