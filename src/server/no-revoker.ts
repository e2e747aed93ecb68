/** The revoker of a server whose authority signs no lists: it refuses. */

import { SidekeyError } from '../base/index.ts';
import type { Registry } from '../registry/index.ts';
import type { Revoker } from '../revocation/index.ts';

export function noRevoker({ revocations }: Registry): Revoker {
  const whyNot = 'this server signs no revocation lists';
  const refuse = () => Promise.reject(new SidekeyError('ERR_REVOCATION', whyNot));
  return {
    whyNot: () => whyNot,
    revoke: refuse,
    restore: refuse,
    list: () => revocations.list(),
    lists: () => [],
    proxies: () => [],
  };
}
