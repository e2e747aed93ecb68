/** Finds faults of a bootstrap that break the connection between Envoy and Sidekey. */

import type { Finding } from '../../base/index.ts';
import { type Edit, STDIN, sedCommand } from './edit.ts';
import { modelOf } from './model.ts';
import { readFile, type TextFault } from './read-file.ts';
import { clusterRules } from './rules/cluster.ts';
import { hostNameRules } from './rules/host-name.ts';
import { identityRules } from './rules/names.ts';
import type { Draft, KnownFacts } from './rules/rule.ts';
import { sourceRules } from './rules/source.ts';
import { tlsRules } from './rules/tls.ts';
import { v2Rules } from './rules/v2.ts';

export type { KnownAlias, KnownEntry, KnownFacts, KnownServer, PathKind } from './rules/rule.ts';

/**
 * Finds faults in a bootstrap (v3, YAML or JSON), by line. Every secret that is requested on a Unix socket is assumed to
 * come from Sidekey. Rules that need unknown facts about the server are skipped.
 *
 * @param file the file's name, for findings and commands; {@link STDIN} if it has none
 */
export function lintBootstrap(text: string, file: string, known: KnownFacts = {}): Finding[] {
  const { root, faults, remarks } = readFile(text);
  if (faults.length > 0) {
    // One mistake may be reported several times on its line, and for each bracket that it leaves open.
    const told = new Map(faults.toReversed().map((fault) => [fault.line, syntax(file, fault)]));
    return [...told.values()].sort((a, b) => a.line! - b.line!);
  }
  if (!root.isMap) return [syntax(file, NO_MAP)];
  const model = modelOf(root);
  const rules = [v2Rules, sourceRules, clusterRules, identityRules, tlsRules, hostNameRules];
  const found = new Map<string, Finding>();
  for (const { at, edit, ...draft } of rules.flatMap((rule): readonly Draft[] => rule(model, known))) {
    // A value with an anchor is found again at each of its aliases.
    found.set(`${draft.rule} ${at.line} ${draft.problem}`, {
      ...draft,
      place: file,
      line: at.line,
      ...(edit === undefined ? {} : commandOf(edit, file)),
    });
  }
  const ofText = remarks.map((remark): Finding => ({ ...remark, severity: 'warning', place: file }));
  return [...ofText, ...found.values()].sort((a, b) => a.line! - b.line!);
}

function commandOf(edit: Edit, file: string): Pick<Finding, 'command'> {
  return file === STDIN ? {} : { command: sedCommand(edit, file) };
}

const NO_MAP: TextFault = {
  line: 1,
  problem: 'the file is not a map',
  why: 'Envoy does not start with it; nothing else was checked',
  fix: 'make the file one map, in YAML or JSON',
};

function syntax(place: string, fault: TextFault): Finding {
  return { rule: 'syntax', severity: 'error', place, ...fault };
}
