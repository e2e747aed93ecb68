/** Finds faults of a bootstrap that break the connection between Envoy and Sidekey. */

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
 * Finds faults in a bootstrap (v3, YAML or JSON), by line. Every secret that is requested on a Unix socket is assumed to
 * come from Sidekey. Rules that need unknown facts about the server are skipped.
 *
 * @param file its name, for findings and commands; {@link STDIN}: it has no name
 */
export function lintBootstrap(text: string, file: string, known: Known = {}): Finding[] {
  const { root, faults } = readFile(text);
  if (faults.length > 0) {
    // One mistake may be reported for each bracket that it leaves open.
    const told = new Map(faults.map(({ line, message }) => [`${line} ${message}`, syntax(file, line, message)]));
    return [...told.values()];
  }
  if (!root.isMap) return [syntax(file, 1, 'the file is not a map')];
  const model = modelOf(root);
  const rules = [v2Rules, sourceRules, clusterRules, identityRules, tlsRules];
  const found = new Map<string, Finding>();
  for (const { at, edit, ...draft } of rules.flatMap((rule): readonly Draft[] => rule(model, known))) {
    // A value with an anchor is found again at each of its aliases.
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
