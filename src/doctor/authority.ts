/** Checks the authorities (when they end, the upstream, rotations that wait for proxies) and the clock. */

import type { DoctorJson } from '../admin/index.ts';
import type { Finding } from '../base/index.ts';

const DAY = 24 * 3_600_000;
/**
 * A root with fewer days left is reported, because a new one could not be distributed in time. If a quarter of the root's
 * life is shorter, that counts instead.
 */
const ROOT_DAYS = 7;
/** An authority with a smaller share of its life left is overdue: it should have been replaced at half, a JWT key at a third. */
const LATE_SHARE = { root: 1 / 4, intermediate: 1 / 3, jwt: 1 / 5 } as const;
/** A rotation that waits longer is held up, in milliseconds: proxies acknowledge a bundle within seconds of getting it. */
const HELD_UP_MS = 60_000;
/** Maximum number of proxies that a finding names. */
const NAMED = 3;
/** Largest difference of two clocks that reading them one after the other can explain, in milliseconds. */
const CLOCK_OFF_MS = 60_000;

const SET_CLOCK = 'timedatectl set-ntp true';

type KnownAuthorities = Pick<DoctorJson, 'at' | 'authorities' | 'upstream' | 'last_issued_at' | 'revocation'>;
type Authority = DoctorJson['authorities'][number];

/** @param now by the clock of this process, milliseconds since the epoch */
export function judgeAuthority(known: KnownAuthorities, now: number): Finding[] {
  const { at, upstream, last_issued_at: lastIssued } = known;
  const authorities = known.authorities.filter(({ role }) => role !== 'jwt');
  const server = Date.parse(at);
  const findings: Finding[] = [];
  const live = authorities.filter((one) => Date.parse(one.not_before) <= server && server < Date.parse(one.not_after));
  const signer = live.find(({ role, state }) => role === 'intermediate' && state === 'active');
  const isLate = signer !== undefined && shareLeft(signer, server) < LATE_SHARE.intermediate;
  if (upstream !== null && upstream.problem !== null) {
    const isUrgent = signer === undefined || isLate;
    findings.push({
      rule: 'upstream',
      severity: isUrgent ? 'error' : 'warning',
      place: upstream.description,
      problem: upstream.problem,
      why:
        signer === undefined
          ? 'without an intermediate no certificate can be issued'
          : upstream.signs_meanwhile === true
            ? `the last good files still sign, until a restart; after a restart no certificate can be issued any more when the intermediate ends, at ${signer.not_after}`
            : `no certificate can be issued any more when the intermediate ends, at ${signer.not_after}`,
      fix:
        upstream.request === null
          ? `correct this problem; Sidekey ${upstream.kind === 'disk' ? 'reads the files again within 5 seconds' : 'requests again by itself, within five minutes'}`
          : `let the offline root sign ${upstream.request.file}, then: sidekey ca import FILE`,
    });
  } else if (isLate) {
    findings.push({
      rule: 'intermediate-ends',
      severity: 'error',
      place: `authority ${signer.id}`,
      problem: `the intermediate ends at ${signer.not_after}, and should have been replaced at half of its life`,
      why: 'no certificate can be issued any more when it has ended',
      fix: 'find the reason in the log of the server, at "the authorities could not be renewed", and correct it; then: sidekey ca rotate',
    });
  }
  const isExplained = upstream !== null && (authorities.length === 0 || upstream.problem !== null);
  if (!isExplained && !live.some(({ role }) => role === 'intermediate')) {
    const early = authorities.some((one) => server < Date.parse(one.not_before));
    findings.push({
      rule: 'no-authority',
      severity: 'error',
      place: 'authority',
      problem: early
        ? `by the server's clock (${at}) its authorities are not valid yet`
        : `by the server's clock (${at}) its authorities have ended`,
      why: 'no certificate can be issued, and no peer accepts the issued ones',
      fix: early ? 'set the clock' : 'set the clock, then restart sidekey serve',
      command: SET_CLOCK,
    });
  }
  findings.push(...judgeRoots(known, live, server), ...judgeRotation(authorities, server));
  findings.push(...judgeJwtKeys(known.authorities, server), ...judgeRevocation(known, live));
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

/**
 * Reports that the last root ends soon. Sidekey replaces its own roots long before; only the operator of an upstream can
 * replace the upstream's roots.
 */
function judgeRoots({ upstream }: KnownAuthorities, live: readonly Authority[], server: number): Finding[] {
  const roots = live.filter(({ role, state }) => role === 'root' && (state === 'active' || state === 'published'));
  const [root] = roots.toSorted((a, b) => Date.parse(b.not_after) - Date.parse(a.not_after));
  if (root === undefined) return [];
  const days = (Date.parse(root.not_after) - server) / DAY;
  if (days >= ROOT_DAYS || shareLeft(root, server) >= LATE_SHARE.root) return [];
  const copies = 'then give the new bundle (sidekey bundle show) to every system that has a copy';
  return [
    {
      rule: 'root-ends',
      severity: 'warning',
      place: `authority ${root.id}`,
      problem: `the last root ends at ${root.not_after}, in ${Math.floor(days)} days`,
      why: 'then no certificate under it is valid any more, and copies of the bundle in other systems have no valid root',
      fix:
        upstream === null
          ? `replace it: sidekey ca rotate --root; ${copies}`
          : `let the upstream (${upstream.description}) sign under another root; ${copies}`,
    },
  ];
}

/**
 * Reports that proxies accept revoked certificates, since no list has them; or refuse good ones, since an authority has no
 * list beside those of others, or one that ends before it.
 */
function judgeRevocation({ revocation }: KnownAuthorities, live: readonly Authority[]): Finding[] {
  const { revoked, lists, why_not: reason } = revocation;
  if (lists.length > 0) return live.flatMap((one) => judgeList(one, lists));
  if (revoked === 0) return [];
  return [
    {
      rule: 'revoked-accepted',
      severity: 'error',
      place: 'authority',
      problem: `${revoked} revoked ${revoked === 1 ? 'certificate is' : 'certificates are'} accepted until ${revoked === 1 ? 'it ends' : 'they end'}: there are no revocation lists`,
      why: reason ?? 'the lists could not be signed or stored',
      fix:
        reason === null
          ? 'find the reason in the log of the server, at "the authorities could not be renewed", and correct it: the server tries again every 30 seconds'
          : 'remove that root, or the settings of the upstream, and start the server again; or let the certificates end: sidekey revoke list',
    },
  ];
}

function judgeList(
  { id, role, state, not_after: end }: Authority,
  lists: DoctorJson['revocation']['lists'],
): Finding[] {
  const list = lists.find((one) => one.authority_id === id);
  if (state === 'prepared' || (list !== undefined && Date.parse(list.next_update) >= Date.parse(end))) return [];
  return [
    {
      rule: 'revocation-list-missing',
      severity: 'error',
      place: `authority ${id}`,
      problem:
        list === undefined
          ? `the ${role} has no revocation list, and other authorities have one`
          : `the revocation list of the ${role} ends at ${list.next_update}, before the authority does`,
      why: `proxies refuse every certificate under it${list === undefined ? '' : ' then'}`,
      fix: 'restart the server: it signs all lists again; and report this fault',
    },
  ];
}

/** Reports that no JWT key signs, or that the one that does should have been replaced. */
function judgeJwtKeys(authorities: readonly Authority[], server: number): Finding[] {
  const keys = authorities.filter(({ role }) => role === 'jwt');
  const signer = keys.find(({ state, not_after: end }) => state === 'active' && server < Date.parse(end));
  // An earlier version of the server has no JWT keys.
  if (keys.length === 0 || (signer !== undefined && shareLeft(signer, server) >= LATE_SHARE.jwt)) return [];
  return [
    {
      rule: 'jwt-key-ends',
      severity: 'error',
      place: signer === undefined ? 'authority' : `authority ${signer.id}`,
      problem:
        signer === undefined
          ? 'no JWT key can sign'
          : `the JWT key that signs ends at ${signer.not_after}, and should have been replaced when a third of its life was left`,
      why: 'no JWT-SVID can be issued any more when it has ended, and before that they end with it',
      fix: 'find the reason in the log of the server, at "the JWT keys could not be renewed", and correct it: the server tries again every 30 seconds',
    },
  ];
}

/** Reports published roots that only wait for proxies to acknowledge them. */
function judgeRotation(authorities: readonly Authority[], server: number): Finding[] {
  return authorities.flatMap(({ id, state, signs_after: signsAfter, waits_for: proxies }): Finding[] => {
    if (state !== 'published' || signsAfter === null || proxies.length === 0) return [];
    if (server < Date.parse(signsAfter) + HELD_UP_MS) return [];
    const named = proxies.slice(0, NAMED).map(describeProxy).join('; ');
    const more = proxies.length > NAMED ? `; and ${proxies.length - NAMED} more, see sidekey ca show` : '';
    return [
      {
        rule: 'rotation-held-up',
        severity: 'warning',
        place: `authority ${id}`,
        problem: `the new root has been waiting since ${signsAfter} for proxies that have not acknowledged the bundle with it: ${named}${more}`,
        why: 'the old root signs on until shortly before its end; then the new one signs in any case, and these proxies refuse all peers',
        fix: 'find out from the log of the proxy why it does not take the bundle, or restart it',
      },
    ];
  });
}

function describeProxy({ pid, uid, node_id: node, name, rejection }: Authority['waits_for'][number]): string {
  const who = `pid ${pid} (uid ${uid}${node === null ? '' : `, node ${node}`})`;
  return rejection === null ? `${who} has not answered ${name}` : `${who} has rejected ${name}: ${rejection}`;
}

/** The share of its life that an authority has left. */
function shareLeft({ not_before: begins, not_after: ends }: Authority, server: number): number {
  return (Date.parse(ends) - server) / (Date.parse(ends) - Date.parse(begins));
}
