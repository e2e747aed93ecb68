/** Opens the agent's connection to its server. */

import { SidekeyError } from '../base/index.ts';
import type { Uplink, UplinkOptions } from './types.ts';

/**
 * Resolves when the first whole state is in the mirror, or when the agent has an SVID from before and no server answers.
 * @throws SidekeyError with what to do, if the agent can't join
 */
export async function openUplink(_options: UplinkOptions): Promise<Uplink> {
  throw new SidekeyError('ERR_INTERNAL', 'not there yet');
}
