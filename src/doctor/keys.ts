/** Checks the files with the passphrases of the authorities' keys, without which the server does not start again. */

import fs from 'node:fs';
import type { DoctorJson } from '../admin/index.ts';
import { describeLoose, type Finding, observer, octal, whoCanChange } from '../base/index.ts';
import type { CheckResult, Skipped } from './check.ts';

const OLD_SETTING = '--old-key-passphrase-file';

/** @param owner the uid of the server */
export function judgeKeys(files: DoctorJson['passphrase_files'], owner: number): CheckResult {
  const findings: Finding[] = [];
  const skipped: Skipped[] = [];
  for (const { setting, path: place } of files) {
    if (setting === OLD_SETTING) {
      findings.push({
        rule: 'old-passphrase',
        severity: 'info',
        place,
        problem: `the server was started with ${setting}`,
        why: 'that start has stored all keys again, so only older copies need the old passphrase',
        fix: `leave ${setting} out, and delete the file when no backup needs it`,
      });
    }
    try {
      const fault = faultOf(place, owner);
      if (fault !== undefined) findings.push({ ...fault, severity: 'error', place });
    } catch (thrown) {
      skipped.push({ what: `the file of ${setting}`, why: (thrown as Error).message });
    }
  }
  return { findings, skipped };
}

type PathFault = Pick<Finding, 'rule' | 'problem' | 'why' | 'fix'>;

function faultOf(place: string, owner: number): PathFault | undefined {
  const why = 'the next start refuses it';
  const stats = fs.statSync(place, { throwIfNoEntry: false });
  if (stats === undefined) {
    const fix = 'put it back: without the passphrase the keys of the authorities are lost';
    return {
      rule: 'passphrase-missing',
      problem: 'the file with the passphrase of the keys is gone',
      why: 'the next start fails',
      fix,
    };
  }
  const loose = whoCanChange(place, observer(owner));
  const isReadable = stats.isFile() && (stats.mode & 0o077) !== 0;
  if (loose.length === 0 && !isReadable) return undefined;
  const problem = isReadable
    ? `other users can read the passphrase of the keys (mode ${octal(stats.mode)})`
    : `other users can change it: ${loose.map(describeLoose).join('; ')}`;
  const fix = `write a new passphrase to a new file of mode 0600 below a directory that only root or uid ${owner} can write, and restart with it and with this file as ${OLD_SETTING}`;
  return { rule: 'passphrase-open', problem, why, fix };
}
