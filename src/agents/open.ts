/** Opens the agent port, which most servers do not have: its code is loaded only for it. */

import type { AgentPort, AgentPortOptions } from './port.ts';

/** @throws ERR_CONFIG, ERR_SOCKET: see `port.ts` */
export async function openAgentPort(options: AgentPortOptions): Promise<AgentPort> {
  const { startAgentPort } = await import('./port.ts');
  return startAgentPort(options);
}
