/** Finds faults of a bootstrap. The rules, and YAML with them, are loaded only then. */

import type { Finding } from '../base/index.ts';
import type { Known } from './lint/rules/rule.ts';

/** See {@link lintBootstrap}. */
export async function faultsOfBootstrap(text: string, file: string, known?: Known): Promise<Finding[]> {
  const { lintBootstrap } = await import('./lint/lint.ts');
  return lintBootstrap(text, file, known);
}
