/** The check of an Envoy's bootstrap, held against what a server gives where one answers. */

import { type Known, lintBootstrap } from '../envoy/lint/lint.ts';
import type { Check } from './check.ts';

export { STDIN } from '../envoy/lint/lint.ts';

/** What the server gives by which name now, or why nobody tells. */
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
