/** Checks for entries without effect. */

import type { DoctorJson } from '../admin/doctor-schema.ts';
import type { Finding } from '../base/finding.ts';

type Kind = 'expired' | 'unproducible' | 'shadowed' | 'never-issued';

const deletion = (id: string) => `sidekey entry delete ${id}`;

const JUDGEMENTS: Readonly<
  Record<Kind, Pick<Finding, 'severity' | 'why'> & { fix(id: string): string; command?(id: string): string }>
> = {
  unproducible: {
    severity: 'error',
    why: 'a caller must have all selectors of an entry, and no caller can have this one',
    fix: (id) => `delete it, or give it selectors that callers have: sidekey entry update ${id} --selector …`,
    command: deletion,
  },
  expired: {
    severity: 'warning',
    why: 'no SVID is issued or renewed for it, so callers that ask for it wait',
    fix: (id) => `delete it, or extend it: sidekey entry update ${id} --expires-at TIME`,
    command: deletion,
  },
  shadowed: {
    severity: 'warning',
    why: 'if several matching entries give the same SPIFFE ID, the oldest is used: the TTL and DNS names of this one have no effect',
    fix: () => 'delete it, or the older one',
    command: deletion,
  },
  'never-issued': {
    severity: 'info',
    why: 'no caller has asked for it, or no caller that asked matches it',
    fix: (id) =>
      `sidekey entry show ${id} shows its selectors, sidekey explain --pid PID the selectors that a process lacks`,
  },
};

/** For the answer of an earlier version. */
const NONE: DoctorJson['withheld'] = { count: 0, sample: [] };

/** Entries that matching callers do not get because they are in containers. */
export function judgeWithheld({ withheld = NONE }: Partial<Pick<DoctorJson, 'withheld'>>): Finding[] {
  const findings = withheld.sample.map(
    ({ entry_id: id, spiffe_id: spiffeId, callers, pids, why, ...past }): Finding => {
      const asked = `${past.decisions} ${past.decisions === 1 ? 'decision' : 'decisions'} of the last day`;
      const now = `${callers} ${callers === 1 ? 'connection' : 'connections'} now (pid ${pids.join(', ')}: ${why})`;
      return {
        rule: 'entry-withheld',
        severity: 'warning',
        place: `entry ${id}`,
        problem: `callers in containers match its selectors but do not get ${spiffeId}: ${callers > 0 ? now : asked}`,
        why: 'it has no container selector, and root in any container can take on the other selectors',
        fix: `create an entry with container selectors: sidekey explain --pid ${pids[0] ?? 'PID'} --spiffe-id ${spiffeId} prints a command to consider; or, if every container on this host may get it: sidekey entry update ${id} --allow-contained`,
      };
    },
  );
  const more = withheld.count - withheld.sample.length;
  if (more > 0) findings[findings.length - 1] = andMore(findings.at(-1)!, more);
  return findings;
}

export function judgeEntries({ entries }: Pick<DoctorJson, 'entries'>): Finding[] {
  return (Object.keys(JUDGEMENTS) as Kind[]).flatMap((kind) => {
    const { severity, why, fix, command } = JUDGEMENTS[kind];
    const { count, sample } = entries[kind];
    const findings = sample.map(({ entry_id: id, spiffe_id: spiffeId, detail }): Finding => {
      const problem = `the entry of ${spiffeId} has no effect: ${detail}`;
      return {
        rule: `entry-${kind}`,
        severity,
        place: `entry ${id}`,
        problem,
        why,
        fix: fix(id),
        command: command?.(id),
      };
    });
    const more = count - sample.length;
    if (more > 0) findings[findings.length - 1] = andMore(findings.at(-1)!, more);
    return findings;
  });
}

function andMore(last: Finding, more: number): Finding {
  return { ...last, problem: `${last.problem} (and ${more} more)` };
}
