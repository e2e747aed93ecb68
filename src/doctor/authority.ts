/** Checks the end of the authorities, and the clock. */

import type { DoctorJson } from '../admin/index.ts';
import type { Finding } from '../base/index.ts';

const DAY = 24 * 3_600_000;
/** With less time left, a new root could not be distributed in time. */
const ROOT_DAYS = 7;
/** A larger difference of clocks is not caused by reading them one after the other, in milliseconds. */
const CLOCK_OFF_MS = 60_000;

const SET_CLOCK = 'timedatectl set-ntp true';

/** An earlier version has no `upstream_trouble`. */
type KnownAuthorities = Pick<DoctorJson, 'at' | 'authorities' | 'last_issued_at'> &
  Partial<Pick<DoctorJson, 'upstream_trouble'>>;

/** @param now by the clock of this process, milliseconds since the epoch */
export function judgeAuthority(
  { at, authorities, last_issued_at: lastIssued, upstream_trouble: trouble = null }: KnownAuthorities,
  now: number,
): Finding[] {
  const server = Date.parse(at);
  const findings: Finding[] = [];
  const live = authorities.filter((one) => Date.parse(one.not_before) <= server && server < Date.parse(one.not_after));
  const signs = live.some(({ role }) => role === 'intermediate');
  if (trouble !== null) findings.push(upstreamTrouble(trouble, signs));
  else if (!signs) findings.push(noAuthority(at, authorities));
  const root = live.filter(({ role }) => role === 'root').sort((a, b) => (a.not_after < b.not_after ? 1 : -1))[0];
  const left = root === undefined ? undefined : (Date.parse(root.not_after) - server) / DAY;
  if (left !== undefined && left < ROOT_DAYS) {
    findings.push({
      rule: 'root-ends',
      severity: 'warning',
      place: `authority ${root!.id}`,
      problem: `the last root ends at ${root!.not_after}, in ${Math.floor(left)} days`,
      why: 'copies of the bundle that other systems have end with it',
      fix: 'give the new bundle (sidekey bundle show) to every system that has a copy',
    });
  }
  if (lastIssued !== null && Date.parse(lastIssued) > server + CLOCK_OFF_MS) {
    findings.push({
      rule: 'clock-set-back',
      severity: 'error',
      place: 'clock',
      problem: `the server's clock shows ${at}, but it issued a certificate at ${lastIssued}`,
      why: 'the certificates issued then are not valid yet, and new ones end before them',
      fix: 'set the clock',
      command: SET_CLOCK,
    });
  }
  if (Math.abs(now - server) > CLOCK_OFF_MS) {
    findings.push({
      rule: 'clock-differs',
      severity: 'warning',
      place: 'clock',
      problem: `the server's clock shows ${at}, this one ${new Date(now).toISOString()}`,
      why: 'if clocks differ, certificates are not valid yet, or end too early',
      fix: 'set both',
      command: SET_CLOCK,
    });
  }
  return findings;
}

/** The clock has no part in it: the upstream says why it has signed nothing. */
function upstreamTrouble(trouble: string, signs: boolean): Finding {
  return {
    rule: 'upstream-trouble',
    severity: signs ? 'warning' : 'error',
    place: 'authority',
    problem: trouble,
    why: signs ? 'at its end no certificate can be issued' : 'no certificate can be issued, so every identity is held',
    fix: 'sidekey ca show has the state of the upstream, and the request if it waits for a signature (docs/upstreams.md)',
  };
}

function noAuthority(at: string, authorities: DoctorJson['authorities']): Finding {
  const isEarly = authorities.some((one) => Date.parse(at) < Date.parse(one.not_before));
  return {
    rule: 'no-authority',
    severity: 'error',
    place: 'authority',
    problem: `by the server's clock (${at}) its authorities ${isEarly ? 'are not valid yet' : 'have ended'}`,
    why: 'no certificate can be issued, and no peer accepts the issued ones',
    fix: isEarly ? 'set the clock' : 'set the clock, then restart sidekey serve',
    command: SET_CLOCK,
  };
}
