/** The check of an Envoy's bootstrap, compared with the server's entries if a server answers. */

import { type Known, lintBootstrap } from '../envoy/lint/lint.ts';
import type { Check } from './check.ts';

export { STDIN } from '../envoy/lint/lint.ts';

/** Entries and aliases of the server, or the reason why they are unknown. */
export type Names = Required<Known> | { readonly unknown: string };

export function envoyFileCheck(file: string, text: string, names: () => Promise<Names>): Check {
  return {
    name: 'envoy',
    run: async () => {
      const known = await names();
      if (!('unknown' in known)) return { findings: lintBootstrap(text, file, known), skipped: [] };
      const skipped = [{ what: `whether an entry gives each name of ${file}`, why: known.unknown }];
      return { findings: lintBootstrap(text, file), skipped };
    },
  };
}
