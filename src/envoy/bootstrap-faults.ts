/** Finds faults of a bootstrap. Loads the rules and the YAML library only when it is called. */

import type { Finding } from '../base/index.ts';
import type { KnownFacts } from './lint/rules/rule.ts';

/** See {@link lintBootstrap}. */
export async function faultsOfBootstrap(text: string, file: string, known?: KnownFacts): Promise<Finding[]> {
  const { lintBootstrap } = await import('./lint/lint.ts');
  return lintBootstrap(text, file, known);
}
