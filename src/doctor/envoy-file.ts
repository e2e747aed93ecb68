/** The check of an Envoy's bootstrap, held against the entries of a server where one answers. */

import { type KnownEntry, lintBootstrap } from '../envoy/lint/lint.ts';
import type { Check } from './check.ts';

/** The entries that give something now, or why nobody tells. */
export type Entries = { readonly entries: readonly KnownEntry[] } | { readonly unknown: string };

export function envoyFileCheck(file: string, text: string, entries: () => Promise<Entries>): Check {
  return {
    name: 'envoy',
    run: async () => {
      const known = await entries();
      if ('entries' in known) return { findings: lintBootstrap(text, file, known), skipped: [] };
      const skipped = [{ what: `whether an entry gives each name of ${file}`, why: known.unknown }];
      return { findings: lintBootstrap(text, file), skipped };
    },
  };
}
