/** Checks the data directory, which contains the keys. */

import fs from 'node:fs';
import path from 'node:path';
import {
  closingCommand,
  describeLoose,
  type Finding,
  observer,
  pathRemedy,
  pathRule,
  privacyFaults,
  READABLE_WARNING,
  SUSPECT_REMEDY,
  walkPath,
} from '../base/index.ts';
import type { CheckResult } from './check.ts';
import { isSafeToName } from './safe-command.ts';

/** For a directory that is open to others while everything in it is closed. */
const ONLY_NAMES = {
  severity: 'warning',
  why: 'others can list the names of its files, but read none; the next start closes it',
} as const;

/** @param owner the uid of the server */
export function judgeDataDir(directory: string, owner: number): CheckResult {
  try {
    fs.accessSync(directory, fs.constants.R_OK | fs.constants.X_OK);
  } catch (thrown) {
    return { findings: [], skipped: [{ what: `the files in ${directory}`, why: (thrown as Error).message }] };
  }
  const why = "it contains the authority's keys; sidekey serve will refuse to start";
  const head = { severity: 'error', why } as const;
  const who = observer(owner);
  const findings = walkPath(directory, who).loose.map((loose): Finding => {
    const problem = `above the data directory: ${describeLoose(loose)}; ${pathRule(who.uid)}`;
    const fix = `move the data directory: ${pathRemedy(who.uid)}`;
    return { ...head, rule: 'data-dir-above', place: loose.place, problem, fix };
  });
  const { readable, suspect } = privacyFaults(directory, owner);
  for (const { place, problem } of suspect) {
    findings.push({ ...head, rule: 'data-dir-suspect', place, problem, fix: SUSPECT_REMEDY });
  }
  const isSafe = findings.length === 0 && isSafeToName(path.join(directory, 'ca'));
  const command = closingCommand(readable);
  if (command !== undefined) {
    const problem = 'it, or a file in it, can be read by other users';
    const fix = `remove their access; ${READABLE_WARNING}`;
    const terms = readable.every((place) => place === directory) ? ONLY_NAMES : head;
    findings.push({ ...terms, rule: 'data-dir-open', place: directory, problem, fix, ...(isSafe ? { command } : {}) });
  }
  return { findings, skipped: [] };
}
