/** Finds faults of a bootstrap. The rules, and YAML with them, are loaded only then. */

import type { Finding } from '../base/index.ts';
import type { KnownFacts } from './lint/rules/rule.ts';

/** See {@link lintBootstrap}. */
export async function faultsOfBootstrap(text: string, file: string, known?: KnownFacts): Promise<Finding[]> {
  const { lintBootstrap } = await import('./lint/lint.ts');
  return lintBootstrap(text, file, known);
}
