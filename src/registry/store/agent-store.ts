/** Stores agents of other hosts. */

import type { AuditEvent } from '../../audit/index.ts';
import type { Agent } from '../agent.ts';
import type { NamedStore } from './named-store.ts';

export interface AgentStore extends NamedStore<Agent> {
  /**
   * Puts the agent and deletes the token with which it joined, in one transaction, so that no failure leaves a token
   * that an agent has used. The rows of the audit are the agent's, then the token's.
   * @throws as `put`, of either; then nothing has changed
   */
  join(agent: Agent, replaces: number | undefined, used: UsedToken, events: readonly AuditEvent[]): Promise<number>;
}

export interface UsedToken {
  readonly hash: string;
  readonly revision: number;
  readonly events: readonly AuditEvent[];
}
