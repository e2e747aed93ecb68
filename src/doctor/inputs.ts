/** Checks which other users could write the files that decide which process gets which identity. */

import type { DoctorJson } from '../admin/index.ts';
import { describeLoose, type Finding, observer, whoCanChange } from '../base/index.ts';
import type { CheckResult, Skipped } from './check.ts';

/** @param owner the uid of the server */
export function judgeInputs(inputs: DoctorJson['inputs'], owner: number): CheckResult {
  const who = observer(owner);
  const findings: Finding[] = [];
  const skipped: Skipped[] = [];
  for (const { setting, path: place } of inputs) {
    try {
      const loose = whoCanChange(place, who);
      if (loose.length === 0) continue;
      findings.push({
        rule: 'input-open',
        severity: 'warning',
        place,
        problem: `other users can change the file of ${setting}: ${loose.map(describeLoose).join('; ')}`,
        why: 'a user who can change it decides which process gets which identity',
        fix: `keep it where only root or uid ${owner} can write, including the directories above it; check that its content is yours`,
      });
    } catch (thrown) {
      skipped.push({ what: `who can change ${place}`, why: (thrown as Error).message });
    }
  }
  return { findings, skipped };
}
