/** Checks the container engine's socket: which users could replace it, and which process listens on it. */

import { looseOnEnginePath, whyForeignEngine } from '../attest/index.ts';
import { describeLoose, type Finding, observer, pathRemedy, pathRule } from '../base/index.ts';
import type { CheckResult, Skipped } from './check.ts';
import type { FindListener } from './listeners.ts';

const WHY =
  'the answers of the engine decide which container gets which identity: while another user could imitate it, callers in containers get none';

/** @param owner the uid of the server */
export async function judgeEngineSocket(file: string, owner: number, find: FindListener): Promise<CheckResult> {
  const who = observer(owner);
  const findings: Finding[] = [];
  const skipped: Skipped[] = [];
  try {
    for (const loose of looseOnEnginePath(file, who)) {
      findings.push({
        rule: 'engine-directory',
        severity: 'error',
        place: loose.place,
        problem: `above the container engine's socket ${file}: ${describeLoose(loose)}`,
        why: `${WHY}; ${pathRule(who.uid)}`,
        fix: `let the engine listen at another place, and give that to --docker-socket: ${pathRemedy(who.uid)}`,
      });
    }
  } catch (thrown) {
    skipped.push({ what: `who can change ${file}`, why: (thrown as Error).message });
  }
  try {
    const { pid, uid } = await find(file);
    const problem = whyForeignEngine(uid, who);
    if (problem !== undefined) {
      findings.push({
        rule: 'engine-user',
        severity: 'error',
        place: file,
        problem,
        why: WHY,
        fix: `find out what listens there (ps -fp ${pid || 'PID'}); run the engine as root, or Sidekey as its user`,
      });
    }
  } catch (thrown) {
    skipped.push({ what: `who listens on ${file}`, why: (thrown as Error).message });
  }
  return { findings, skipped };
}
