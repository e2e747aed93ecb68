/** What `sidekey doctor` is made of: checks that find things, each by itself. */

import type { Finding, Severity } from '../base/finding.ts';

export interface Check {
  /** A word that does not change once released, such as `envoy`. */
  readonly name: string;
  /** @throws Error when the check itself can't be made, such as an unreadable file */
  run(): Promise<Outcome>;
}

export interface Outcome {
  readonly findings: readonly Finding[];
  /** What was not looked at, and why. */
  readonly skipped: readonly Skipped[];
}

export interface Skipped {
  readonly what: string;
  readonly why: string;
}

/** Makes all checks, one after the other. */
export async function runChecks(checks: readonly Check[]): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  for (const check of checks) outcomes.push(await check.run());
  return {
    findings: outcomes.flatMap(({ findings }) => findings),
    skipped: outcomes.flatMap(({ skipped }) => skipped),
  };
}

const SEVERITIES: readonly Severity[] = ['error', 'warning', 'info'];

/** `2 errors, 1 warning`; `nothing` where nothing was found. */
export function summary(findings: readonly Finding[]): string {
  const counts = SEVERITIES.flatMap((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length;
    return count === 0 ? [] : [`${count} ${severity}${count === 1 || severity === 'info' ? '' : 's'}`];
  });
  return counts.join(', ') || 'nothing';
}
