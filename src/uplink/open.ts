/** Opens the agent's connection to its server. Only an agent needs the code of it, so it is loaded here. */

import type { Uplink, UplinkOptions } from './types.ts';

/**
 * Resolves when the first whole state is in the mirror, or when the agent has an SVID from before and no server answers.
 * Without an SVID, servers that can't be reached are tried again and again.
 * @param signal ends the start
 * @throws SidekeyError with what to do, if the agent can't join
 */
export async function openUplink(options: UplinkOptions, signal?: AbortSignal): Promise<Uplink> {
  const { AgentUplink } = await import('./uplink.ts');
  const uplink = new AgentUplink(options);
  await uplink.start(signal);
  return uplink;
}
