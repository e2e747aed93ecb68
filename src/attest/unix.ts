/**
 * The unix attestor: who the process is to the kernel.
 *
 * Selectors, with SPIRE's names: `uid:N gid:N`.
 */

import type { Selector } from '../spiffe/selector.ts';
import type { Attestor, PeerCredentials } from './types.ts';

export class UnixAttestor implements Attestor {
  readonly name = 'unix';

  async attest({ uid, gid }: PeerCredentials): Promise<Selector[]> {
    return [`uid:${uid}`, `gid:${gid}`].map((value) => ({ type: this.name, value }));
  }
}
