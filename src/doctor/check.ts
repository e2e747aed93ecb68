/** The type of a check of `sidekey doctor`; checks are independent of each other. */

import type { Finding, Severity } from '../base/index.ts';

export interface Check {
  /** A word that does not change once released, such as `envoy`. */
  readonly name: string;
  /** @throws Error if the check itself fails, for example because a file can't be read */
  run(): Promise<CheckResult>;
}

export interface CheckResult {
  readonly findings: readonly Finding[];
  /** Parts that were not checked, with the reason. */
  readonly skipped: readonly Skipped[];
}

export interface Skipped {
  readonly what: string;
  readonly why: string;
}

const SEVERITIES: readonly Severity[] = ['error', 'warning', 'info'];

/** Runs all checks one after the other; returns the findings with the worst first. */
export async function runChecks(checks: readonly Check[]): Promise<CheckResult> {
  const outcomes: CheckResult[] = [];
  for (const check of checks) outcomes.push(await check.run());
  const findings = outcomes.flatMap((outcome) => outcome.findings);
  return {
    findings: findings.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity)),
    skipped: outcomes.flatMap(({ skipped }) => skipped),
  };
}

/** `2 errors, 1 warning`; `nothing` without findings. */
export function summary(findings: readonly Finding[]): string {
  const counts = SEVERITIES.flatMap((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length;
    return count === 0 ? [] : [`${count} ${severity}${count === 1 || severity === 'info' ? '' : 's'}`];
  });
  return counts.join(', ') || 'nothing';
}
