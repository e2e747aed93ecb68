/** Runs all attestors on a process and combines their selectors. */

import { type Clock, SidekeyError } from '../base/index.ts';
import { compareSelectors, formatSelector, type Selector } from '../spiffe/index.ts';
import type { AttestationTimes, AttestorResult } from './attestation-times.ts';
import type { WhyContained } from './contained.ts';
import type { Attestation, Attestor, CallingProcess } from './types.ts';

export interface AttestOptions {
  readonly attestors: readonly Attestor[];
  readonly clock: Clock;
  /** Called at each attestation. */
  readonly whyContained: WhyContained;
  /** True for selectors to keep. By default all are kept. See `asked.ts`. */
  readonly keeps?: (selector: Selector) => boolean;
  /** Time limit of each attestor, in milliseconds; they run concurrently. */
  readonly attestTimeoutMs: number;
  /** Undefined: nothing is counted. */
  readonly times?: AttestationTimes;
}

/**
 * Fails closed: if one attestor fails or is late, the attestation fails, because its selectors are unknown.
 * @param contained the reason why the caller counts as contained; undefined if it does not
 * @throws ERR_ATTESTATION_FAILED with the attestor's name, and with the reason if that is safe to show
 */
export async function collectSelectors(
  caller: CallingProcess,
  contained: string | undefined,
  options: AttestOptions,
): Promise<Attestation> {
  const found = await Promise.all(options.attestors.map((attestor) => runAttestor(attestor, caller, options)));
  const selectors = found.flat();
  return makeAttestation(options.keeps === undefined ? selectors : selectors.filter(options.keeps), contained);
}

/** Sorts the selectors, drops duplicates and derives the keys. */
export function makeAttestation(found: readonly Selector[], contained?: string): Attestation {
  const byKey = new Map(found.map((selector) => [formatSelector(selector), selector]));
  const selectors = [...byKey.values()].sort(compareSelectors);
  const keys = selectors.map(formatSelector);
  return { selectors, keys: new Set(keys), contained, key: JSON.stringify([contained ?? null, ...keys]) };
}

/**
 * Runs one attestor within its time limit; `everything` and `remark` as for {@link Attestor.attest}.
 * @throws ERR_ATTESTATION_FAILED
 */
export async function runAttestor(
  attestor: Attestor,
  caller: CallingProcess,
  options: AttestOptions,
  everything = false,
  remark?: (text: string) => void,
): Promise<Selector[]> {
  const late = Promise.withResolvers<never>();
  const begun = performance.now();
  let result: AttestorResult = 'ok';
  const deadline = options.clock.after(options.attestTimeoutMs, () => {
    result = 'timeout';
    late.reject(new SidekeyError('ERR_ATTESTATION_FAILED', `no answer within ${options.attestTimeoutMs} ms`));
  });
  try {
    return await Promise.race([attestor.attest(caller, everything, remark), late.promise]);
  } catch (error) {
    if (result === 'ok') result = 'failed';
    const message = `the ${attestor.name} attestor failed: ${safeReason(error)}`;
    // The message already contains a SidekeyError's text; as the cause it would add its stack to each log line.
    const cause = error instanceof SidekeyError ? error.cause : error;
    throw new SidekeyError('ERR_ATTESTATION_FAILED', message, { cause });
  } finally {
    deadline.cancel();
    options.times?.attestor(attestor.name, result, begun);
  }
}

/** Other errors' messages may contain what the attestor read, such as an environment, so only their codes are shown. */
function safeReason(error: unknown): string {
  if (error instanceof SidekeyError) return error.message;
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]*$/.test(code) ? code : 'an unexpected error';
}
