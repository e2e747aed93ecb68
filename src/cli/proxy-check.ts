/** Finds secrets of proxies that need attention. */

import type { SecretJson } from '../admin/index.ts';
import { BACKDATE_MS, looksMistyped } from '../base/index.ts';
import { type ProxyRow, untilOrSince } from './proxy-rows.ts';

const HOUR_MS = 3_600_000;
/** SVIDs are renewed at half their life, ±10 %: with less than a third left, the renewal is overdue. */
const LAST_SHARE = 1 / 3;
/**
 * A hold that may end by itself is reported only if it lasts longer, in milliseconds: an account file or an engine may be
 * about to change.
 */
const PASSING_MS = 30_000;

export interface Expectation {
  /** Whether to report also the names that wait for an entry that never existed. */
  readonly waiting: boolean;
  /** The SPIFFE IDs that entries give; read only if a name waits for an entry. */
  readonly spiffeIds: readonly string[];
}

/** Why the secret needs attention; undefined if it does not. */
export function troubleOf({ secret }: ProxyRow, now: number, expected: Expectation): string | undefined {
  if (secret.state === 'rejected') return `rejected: ${secret.rejection?.message ?? ''}`;
  if (secret.state === 'stale') {
    const since = secret.sent_at === null ? '' : ` ${untilOrSince(Date.parse(secret.sent_at) - now)}`;
    return `stale: sent${since}, and not answered`;
  }
  const held = heldTrouble(secret, now, expected);
  const renewal = renewalTrouble(secret, now);
  return held === undefined || renewal === undefined ? (held ?? renewal) : `${renewal}; ${held}`;
}

/** Whether the secret waits for an entry; only then {@link Expectation.spiffeIds} is used. */
export function waitsForEntry({ secret: { held } }: ProxyRow): boolean {
  return held?.reason === 'no-entry';
}

function renewalTrouble({ expires_at: expiresAt, not_before: notBefore }: SecretJson, now: number): string | undefined {
  if (expiresAt === null || notBefore === null) return undefined;
  const end = Date.parse(expiresAt);
  // Renewal counts from the issuance, not from the backdated start: otherwise an SVID of less than a minute would always
  // seem overdue.
  const life = end - Date.parse(notBefore) - BACKDATE_MS;
  const left = end - now;
  if (left >= Math.min(HOUR_MS, life * LAST_SHARE)) return undefined;
  return left > 0 ? `not renewed: the certificate ends ${untilOrSince(left)}` : `ended ${untilOrSince(left)}`;
}

/** A held name needs attention, unless it only waits for an entry that nobody has made so far. */
function heldTrouble({ name, held, version }: SecretJson, now: number, expected: Expectation): string | undefined {
  if (held === null) return undefined;
  const why = `${held.reason}: ${held.detail}`;
  const had = version === null ? '' : 'it had the secret before: ';
  switch (held.reason) {
    case 'pending':
    case 'facts-missing':
    case 'issuance-failed':
      return now - Date.parse(held.since) < PASSING_MS ? undefined : `${had}${why}`;
    case 'no-entry':
      return waitingTrouble(name, held, { had, why }, expected);
    case 'no-identity':
      return had === '' && !expected.waiting ? undefined : `${had}${why}`;
    default:
      return `${had}${why}`;
  }
}

function waitingTrouble(
  name: string,
  { issued_before: issuedBefore }: NonNullable<SecretJson['held']>,
  { had, why }: { readonly had: string; readonly why: string },
  { waiting, spiffeIds }: Expectation,
): string | undefined {
  if (had !== '') return `${had}${why}`;
  if (issuedBefore === true) return `an entry gave it before: ${why}`;
  const alike = spiffeIds.find((id) => looksMistyped(name, id));
  if (alike !== undefined) return `did you mean ${alike}? ${why}`;
  return waiting ? why : undefined;
}
