/** Checks for entries without effect, and for users and bundles without which an entry has no effect. */

import type { DoctorJson } from '../admin/index.ts';
import { changeEntry, commandLine, declaredPlace, type Finding } from '../base/index.ts';

type Kind = 'reserved' | 'expired' | 'unproducible' | 'shadowed' | 'never-issued';
type EntrySample = DoctorJson['entries']['expired']['sample'][number];

interface Judgement extends Pick<Finding, 'severity' | 'why'> {
  /** How to change the entry, in words that also fit an entries file. Does not delete an entry that can be corrected. */
  change(fault: EntrySample): string;
  /** The arguments of `sidekey entry update ID` for this change, with placeholders. */
  readonly update: string;
  /** By default `has no effect`. */
  readonly does?: string;
  /** The flags of `sidekey entry update` that correct this entry; undefined if they are not known. */
  flags?(fault: EntrySample): readonly string[] | undefined;
  /** What to look at before the change, whatever the source of the entry. */
  look?(fault: EntrySample): string;
}

const JUDGEMENTS: Readonly<Record<Kind, Judgement>> = {
  reserved: {
    severity: 'warning',
    does: 'still works',
    why: 'peers that know a server of this trust domain by such a SPIFFE ID, as the bundle endpoint, take the workload for it; new entries like it are refused',
    change: () => 'give it a SPIFFE ID with another path',
    update: '--spiffe-id …',
  },
  unproducible: {
    severity: 'error',
    why: 'a caller must have all selectors of an entry, and no caller can have this one',
    change: ({ selectors }) =>
      selectors === null
        ? 'give it selectors that callers have, all that it should have'
        : `if that is meant, give it the selectors ${selectors.join(', ')}`,
    update: '--selector …',
    flags: ({ selectors }) => selectors?.flatMap((selector) => ['--selector', selector]),
  },
  expired: {
    severity: 'warning',
    why: 'no SVID is issued or renewed for it, so callers that ask for it wait',
    change: () => 'give it a later expires_at if it is still needed, and delete it if not',
    update: '--expires-at TIME',
  },
  shadowed: {
    severity: 'warning',
    why: 'if several matching entries give the same SPIFFE ID, the oldest is used: the TTL and DNS names of this one have no effect',
    change: () => 'set what is meant (TTL, DNS names) in the older entry, and then delete this one',
    update: '…',
  },
  'never-issued': {
    severity: 'info',
    why: 'no caller has asked for it, or no caller that asked matches it',
    look: ({ spiffe_id: id }) =>
      `${commandLine(['sidekey', 'explain', '--pid', 'PID', '--spiffe-id', id])} says what a process lacks, and whether it can reach the pipe`,
    change: () => 'give it the selectors that its workload has',
    update: '--selector …',
  },
};

/** Stands for the field if a server of an earlier version leaves it out. */
const NONE: DoctorJson['withheld'] = { count: 0, sample: [] };

const NO_FAULTS: DoctorJson['entries']['expired'] = { count: 0, sample: [] };
const NONE_RENDERED: DoctorJson['unrendered'] = { count: 0, sample: [] };

/** Reports entries that matching callers do not get because these callers are in containers. */
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
        fix: `create an entry with container selectors: sidekey explain --pid ${pids[0] ?? 'PID'} --spiffe-id ${spiffeId} prints a command to consider, or says why it can not; or, if every container on this host may get it, ${changeEntry(past, 'allow it (allow_contained)', `sidekey entry update ${id} --allow-contained`)}`,
      };
    },
  );
  const more = withheld.count - withheld.sample.length;
  if (more > 0) findings[findings.length - 1] = andMore(findings.at(-1)!, more);
  return findings;
}

/** Reports templates that are not rendered for callers that their entries match. */
export function judgeUnrendered({ unrendered = NONE_RENDERED }: Partial<Pick<DoctorJson, 'unrendered'>>): Finding[] {
  const findings = unrendered.sample.map(
    ({ entry_id: id, spiffe_id: template, why, callers, pids, ...at }): Finding => {
      const who = `${callers} ${callers === 1 ? 'connection' : 'connections'} (pid ${pids.join(', ')})`;
      const change = changeEntry(at, 'change its template', `sidekey entry update ${id} --spiffe-id …`);
      return {
        rule: 'entry-unrendered',
        severity: 'warning',
        place: `entry ${id}`,
        problem: `${who} match its selectors, but its template ${template} gives them no SPIFFE ID: ${why}`,
        why: 'a template that is not rendered gives its callers nothing',
        fix: `give the caller the fact that is missing (sidekey explain --pid ${pids[0] ?? 'PID'} shows all values); or ${change}`,
      };
    },
  );
  const more = unrendered.count - unrendered.sample.length;
  if (more > 0) findings[findings.length - 1] = andMore(findings.at(-1)!, more);
  return findings;
}

export function judgeEntries({ entries, pid }: Pick<DoctorJson, 'entries' | 'pid'>): Finding[] {
  return (Object.keys(JUDGEMENTS) as Kind[]).flatMap((kind) => {
    const { severity, why, does = 'has no effect' } = JUDGEMENTS[kind];
    // A server of an earlier version leaves out new kinds.
    const { count, sample } = entries[kind] ?? NO_FAULTS;
    const findings = sample.map((fault): Finding => {
      const problem = `the entry of ${fault.spiffe_id} ${does}: ${fault.detail}`;
      return {
        rule: `entry-${kind}`,
        severity,
        place: `entry ${fault.entry_id}`,
        problem,
        why,
        ...remedy(fault, JUDGEMENTS[kind], pid),
      };
    });
    const more = count - sample.length;
    if (more > 0) findings[findings.length - 1] = andMore(findings.at(-1)!, more);
    return findings;
  });
}

/** Proposes to change the entry at its source: the source's next declaration would undo a change made elsewhere. */
function remedy(
  fault: EntrySample,
  { change, update, flags, look }: Judgement,
  server: number,
): Pick<Finding, 'fix' | 'command'> {
  const first = look === undefined ? '' : `${look(fault)}; then `;
  const updates = ['sidekey', 'entry', 'update', fault.entry_id];
  const fix = `${first}${changeEntry(fault, change(fault), `${updates.join(' ')} ${update}`, server)}`;
  const more = declaredPlace(fault) === undefined ? flags?.(fault) : undefined;
  const command = more === undefined ? undefined : commandLine([...updates, ...more]);
  return { fix, ...(command === undefined ? {} : { command }) };
}

/** Reports users of entries that can't connect to the pipe, and bundles that entries need but that are not set. */
export function judgeRequirements({
  unset_bundles: unset = [],
  unreachable_users: users = [],
}: Partial<Pick<DoctorJson, 'unset_bundles' | 'unreachable_users'>>): Finding[] {
  return [
    ...users.map(
      ({ uid, pid, entry_id: id, spiffe_id: spiffeId, detail, fix, command }): Finding => ({
        rule: 'user-unreachable',
        severity: 'error',
        place: `entry ${id}`,
        problem: `its user (uid ${uid}) can not connect to the pipe${pid === null ? '' : `, as process ${pid} shows`}: ${detail}`,
        why: `its workload gets "Permission denied" and never ${spiffeId}, although the entry is good`,
        fix,
        ...(command ? { command } : {}),
      }),
    ),
    ...unset.map(
      ({ trust_domain: domain, entries, entry_id: id, spiffe_id: spiffeId }): Finding => ({
        rule: 'bundle-unset',
        severity: 'error',
        place: `entry ${id}`,
        problem: `the entry of ${spiffeId}${entries === 1 ? '' : ` and ${entries - 1} more`} federates with ${domain}, whose bundle is not set`,
        why: `callers that ask for the authorities of ${domain} wait, and refuse its workloads`,
        fix: `get the bundle of ${domain} from its operator, and set it: sidekey bundle set ${domain} --file BUNDLE; or let the server fetch it from the bundle endpoint: sidekey federation create ${domain} (docs/federation.md); or leave ${domain} out of federates_with`,
      }),
    ),
  ];
}

function andMore(last: Finding, more: number): Finding {
  return { ...last, problem: `${last.problem} (and ${more} more)` };
}
