/** Checks the relationships with other trust domains. */

import type { DoctorJson } from '../admin/index.ts';
import { type Finding, shellQuote } from '../base/index.ts';

type Known = Partial<Pick<DoctorJson, 'relationships'>> & Pick<DoctorJson, 'at'>;
type Relationship = NonNullable<DoctorJson['relationships']>['sample'][number];

/** Stands for the field if a server of an earlier version leaves it out. */
const NONE: NonNullable<DoctorJson['relationships']> = { count: 0, troubled: 0, sample: [] };

/** Times are by the clock of the server. */
export function judgeRelationships({ relationships = NONE, at }: Known): Finding[] {
  const findings = relationships.sample.map((one) => judge(one, Date.parse(at)));
  const more = relationships.troubled - relationships.sample.length;
  const last = findings.at(-1);
  if (more > 0 && last !== undefined) {
    findings[findings.length - 1] = {
      ...last,
      problem: `${last.problem} (and ${more} more relationships have problems)`,
    };
  }
  return findings;
}

function judge(one: Relationship, now: number): Finding {
  const { trust_domain: domain, state, message, fix, expires_at: end } = one;
  const place = `relationship with ${domain}`;
  const refresh = `sidekey federation refresh ${shellQuote(domain)}`;
  if (state === 'revoked') {
    return {
      rule: 'federation-revoked',
      severity: 'error',
      place,
      problem: `${domain} published a bundle without authorities`,
      why: `it has withdrawn its trust: workloads here refuse every SVID of ${domain}`,
      fix:
        fix ??
        `ask its operator whether that is meant; as soon as the endpoint has authorities again, they are fetched, or at once: ${refresh}`,
    };
  }
  if (state === 'stale-bootstrap') {
    return {
      rule: 'federation-stale',
      severity: 'error',
      place,
      problem: `its endpoint is not known any more: ${message ?? 'its certificate is under another authority'}`,
      why: `the bundle is not fetched, so workloads here refuse those of ${domain} after its next rotation, if they do not already`,
      fix: fix ?? `get the present bundle of ${domain} from its operator, and set it with sidekey bundle set`,
    };
  }
  const isOver = end === null || Date.parse(end) <= now;
  return {
    rule: 'federation-failing',
    severity: isOver ? 'error' : 'warning',
    place,
    problem: `the bundle of ${domain} is not fetched: ${message ?? 'nothing is known of the reason'}`,
    why: isOver
      ? `there is no bundle whose authorities are still valid, so workloads here refuse those of ${domain}`
      : `the last good bundle stays in use until ${end}; workloads here refuse those of ${domain} from its next rotation on`,
    fix: `${fix ?? 'correct the reason, which may be on the side of the partner'}; then fetch it at once: ${refresh}`,
    command: refresh,
  };
}
