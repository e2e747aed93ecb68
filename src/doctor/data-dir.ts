/** The data directory, which has the keys. */

import fs from 'node:fs';
import type { Finding } from '../base/finding.ts';
import { privacyCommands } from '../base/privacy.ts';
import type { Outcome } from './check.ts';

/** @param owner the uid of the server */
export function judgeDataDir(directory: string, owner: number): Outcome {
  try {
    fs.accessSync(directory, fs.constants.R_OK | fs.constants.X_OK);
  } catch (thrown) {
    return { findings: [], skipped: [{ what: `the files in ${directory}`, why: (thrown as Error).message }] };
  }
  const findings = privacyCommands(directory, owner).map((command): Finding => {
    const problem = 'it, or something in it, is not closed to others';
    const fix = 'close it to them';
    const why = 'the keys of the authority are in it; sidekey serve refuses to start again';
    return { rule: 'data-dir-open', severity: 'error', place: directory, problem, why, fix, command };
  });
  return { findings, skipped: [] };
}
