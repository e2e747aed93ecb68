/** Reads requests to revoke certificates. */

import {
  isRevocationReason,
  MAX_REVOCATION_WAIT as MAX_WAIT,
  nearest,
  type Problem,
  REVOCATION_REASON_NAMES as REASONS,
  type RevocationReason,
  SidekeyError,
} from '../base/index.ts';
import type { RevocationTarget } from '../revocation/index.ts';
import { parseSpiffeId, SpiffeIdError, type TrustDomain, trustDomainOf } from '../spiffe/index.ts';
import { isObject } from './entry-requests.ts';
import { readSerial } from './serial.ts';

const TARGETS = ['serial', 'spiffe_id', 'entry_id'] as const;
const MEMBERS: readonly string[] = [...TARGETS, 'reason', 'now', 'wait'];
const BODY_RULE = `the body is an object with exactly one of ${TARGETS.join(', ')}, and if wanted reason, now and wait`;
/** As long as a path segment may be. */
const MAX_ID = 255;

export interface RevocationInput {
  readonly target: RevocationTarget;
  readonly reason: RevocationReason;
  readonly immediately: boolean;
  readonly waitMs: number;
}

/** @throws ERR_BAD_INPUT with every problem */
export function readRevocationInput(body: unknown, trustDomain: TrustDomain): RevocationInput {
  const problems: Problem[] = [];
  const fault = (path: string, problem: string, rule: string) => void problems.push({ path, problem, rule });
  if (!isObject(body)) throw SidekeyError.badInput([{ path: '', problem: 'it is not an object', rule: BODY_RULE }]);
  const unknown = Object.keys(body).find((name) => !MEMBERS.includes(name));
  if (unknown !== undefined) fault(`/${unknown.slice(0, 100)}`, 'there is no such field', BODY_RULE);
  const { reason = 'unspecified', now = false, wait = 0 } = body;
  if (!isRevocationReason(reason)) fault('/reason', `it is ${brief(reason)}${meant(reason)}`, REASON_RULE);
  if (typeof now !== 'boolean') fault('/now', `it is ${brief(now)}`, 'it is true or false');
  if (typeof wait !== 'number' || !(wait >= 0 && wait <= MAX_WAIT)) {
    fault('/wait', `it is ${brief(wait)}`, `it is a number of seconds from 0 to ${MAX_WAIT}`);
  }
  const given = TARGETS.filter((name) => body[name] !== undefined);
  const target = given.length === 1 ? readTarget(given[0]!, body, trustDomain, problems) : undefined;
  if (given.length !== 1)
    fault('', given.length === 0 ? 'it names no certificate' : `it has ${given.join(' and ')}`, BODY_RULE);
  if (problems.length > 0 || target === undefined) throw SidekeyError.badInput(problems);
  return {
    target,
    reason: reason as RevocationReason,
    immediately: now as boolean,
    waitMs: (wait as number) * 1_000,
  };
}

const REASON_RULE = `it is one of ${REASONS.join(', ')}`;

function meant(value: unknown): string {
  const alike = typeof value === 'string' ? nearest(value.slice(0, 100), REASONS) : undefined;
  return alike === undefined ? '' : `; did you mean ${alike}?`;
}

/** The target; undefined after adding its problem. */
function readTarget(
  name: (typeof TARGETS)[number],
  body: Readonly<Record<string, unknown>>,
  trustDomain: TrustDomain,
  problems: Problem[],
): RevocationTarget | undefined {
  const value = body[name];
  try {
    if (name === 'serial') return { serial: readSerial(value, '/serial') };
    if (name === 'spiffe_id') return { spiffeId: readSpiffeId(value, trustDomain) };
    if (typeof value === 'string' && value !== '' && value.length <= MAX_ID) return { entryId: value };
    const rule = `an entry id is a string of 1 to ${MAX_ID} characters; sidekey entry list shows the ids`;
    problems.push({ path: '/entry_id', problem: `it is ${brief(value)}`, rule });
  } catch (thrown) {
    if (!(thrown instanceof SidekeyError)) throw thrown;
    problems.push(...thrown.problems);
  }
  return undefined;
}

/** @throws ERR_BAD_INPUT */
function readSpiffeId(value: unknown, trustDomain: TrustDomain): string {
  const path = '/spiffe_id';
  try {
    const id = parseSpiffeId(typeof value === 'string' ? value : '');
    if (trustDomainOf(id) === trustDomain) return id;
    const rule = `this server issues certificates of ${trustDomain} only`;
    throw SidekeyError.badInput([{ path, problem: `it is of the trust domain ${trustDomainOf(id)}`, rule }]);
  } catch (thrown) {
    if (!(thrown instanceof SpiffeIdError)) throw thrown;
    throw SidekeyError.badInput([{ path, problem: thrown.problem, rule: thrown.rule }]);
  }
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
