/** The unix attestor: facts about a process from the kernel. It always runs. */

import type { AttestorDescription } from '../description.ts';
import { ofKinds } from '../of-kinds.ts';
import { UNIX_SELECTOR_KINDS } from './kinds.ts';

export const UNIX: AttestorDescription = {
  type: 'unix',
  kinds: UNIX_SELECTOR_KINDS,
  example: 'uid:1000',
  settings: {},
  isOn: () => true,
  create: async ({ log, clock, accounts, unmapped, asked }) => {
    const { createUnixAttestor } = await import('./attestor.ts');
    return createUnixAttestor({
      log,
      clock,
      accounts,
      unmapped,
      wantSha256: () => asked.asksFor('unix:sha256'),
      wantPath: () => asked.asksFor('unix:path'),
    });
  },
  propose: (selectors) => ofKinds(selectors, 'unix', 'uid', 'path'),
};
