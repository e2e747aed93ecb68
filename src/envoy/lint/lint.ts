/** Looks at a bootstrap for what goes wrong between Envoy and Sidekey, before Envoy does. */

import type { Finding } from '../../base/finding.ts';
import { type Edit, sedCommand } from './edit.ts';
import { modelOf } from './model.ts';
import { clusterRules } from './rules/cluster.ts';
import { identityRules } from './rules/names.ts';
import type { Draft, Known } from './rules/rule.ts';
import { sourceRules } from './rules/source.ts';
import { tlsRules } from './rules/tls.ts';
import { v2Rules } from './rules/v2.ts';
import { readFile } from './spot.ts';

export type { Known, KnownAlias, KnownEntry } from './rules/rule.ts';

/**
 * What is wrong in a bootstrap (v3, YAML or JSON), by line. Every secret that is asked for on a pipe is taken for one that
 * Sidekey is to give. What is not known of the server is not looked at.
 *
 * @param file its name, for the findings and the commands that mend it; {@link STDIN}: it has none
 */
export function lintBootstrap(text: string, file: string, known: Known = {}): Finding[] {
  const { root, faults } = readFile(text);
  if (faults.length > 0) {
    // One slip may be told again for each bracket that it leaves open.
    const told = new Map(faults.map(({ line, message }) => [`${line} ${message}`, syntax(file, line, message)]));
    return [...told.values()];
  }
  if (!root.isMap) return [syntax(file, 1, 'the file is not a map')];
  const model = modelOf(root);
  const rules = [v2Rules, sourceRules, clusterRules, identityRules, tlsRules];
  const found = new Map<string, Finding>();
  for (const { at, edit, ...draft } of rules.flatMap((rule): readonly Draft[] => rule(model, known))) {
    // What stands at an anchor is found at each of its aliases.
    found.set(`${draft.rule} ${at.line} ${draft.problem}`, {
      ...draft,
      place: file,
      line: at.line,
      ...commandOf(edit, file),
    });
  }
  return [...found.values()].sort((a, b) => a.line! - b.line!);
}

export const STDIN = 'stdin';

function commandOf(edit: Edit | undefined, file: string): Pick<Finding, 'command'> {
  return edit === undefined || file === STDIN ? {} : { command: sedCommand(edit, file) };
}

function syntax(place: string, line: number, problem: string): Finding {
  const why = 'Envoy cannot read the file, so nothing else was checked';
  return {
    rule: 'syntax',
    severity: 'error',
    place,
    line,
    problem,
    why,
    fix: 'make the file one map, in YAML or JSON',
  };
}
