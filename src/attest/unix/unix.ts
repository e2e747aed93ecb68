/** The unix attestor: what the kernel says of a process. It runs always. */

import type { AttestorDescription } from '../description.ts';
import { ofKinds } from '../of-kinds.ts';
import { KINDS } from './kinds.ts';

export const UNIX: AttestorDescription = {
  type: 'unix',
  kinds: KINDS,
  example: 'uid:1000',
  settings: {},
  isOn: () => true,
  create: async ({ log, accounts, unmapped, asked }) => {
    const { createUnixAttestor } = await import('./attestor.ts');
    return createUnixAttestor({
      log,
      accounts,
      unmapped,
      wantSha256: () => asked.asksFor('unix:sha256'),
      wantPath: () => asked.asksFor('unix:path'),
    });
  },
  propose: (selectors) => ofKinds(selectors, 'unix', 'uid', 'path'),
};
