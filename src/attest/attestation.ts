/** Asks every attestor about a process and puts their selectors together. */

import type { Clock } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import { compareSelectors, formatSelector, type Selector } from '../spiffe/selector.ts';
import type { WhyContained } from './contained.ts';
import type { Attestation, Attestor, CallingProcess } from './types.ts';

/** How the attestors are asked. */
export interface AttestOptions {
  readonly attestors: readonly Attestor[];
  readonly clock: Clock;
  /** Asked at each attestation. */
  readonly whyContained: WhyContained;
  /** Which selectors are kept; all where it is left out. See `asked.ts`. */
  readonly keeps?: (selector: Selector) => boolean;
  /** How long each may take, in milliseconds; they run side by side. */
  readonly attestTimeoutMs: number;
}

/**
 * Fails closed: one attestor that fails or is late fails the whole, since what it would have said is not known.
 * @param contained why the caller counts as contained; undefined where it does not
 * @throws ERR_ATTESTATION_FAILED naming the attestor; the reason is in it where it is safe to show
 */
export async function collectSelectors(
  caller: CallingProcess,
  contained: string | undefined,
  options: AttestOptions,
): Promise<Attestation> {
  const found = await Promise.all(options.attestors.map((attestor) => ask(attestor, caller, options)));
  const selectors = found.flat();
  return makeAttestation(options.keeps === undefined ? selectors : selectors.filter(options.keeps), contained);
}

/** Sorts the selectors, drops repeated ones and derives the keys. */
export function makeAttestation(found: readonly Selector[], contained?: string): Attestation {
  const byKey = new Map(found.map((selector) => [formatSelector(selector), selector]));
  const selectors = [...byKey.values()].sort(compareSelectors);
  const keys = selectors.map(formatSelector);
  return { selectors, keys: new Set(keys), contained, key: JSON.stringify([contained ?? null, ...keys]) };
}

/** Asks one, within its time; see {@link Attestor.attest} for `everything` and `remark`. @throws ERR_ATTESTATION_FAILED */
export async function ask(
  attestor: Attestor,
  caller: CallingProcess,
  options: AttestOptions,
  everything = false,
  remark?: (text: string) => void,
): Promise<Selector[]> {
  const late = Promise.withResolvers<never>();
  const deadline = options.clock.after(options.attestTimeoutMs, () =>
    late.reject(new SidekeyError('ERR_ATTESTATION_FAILED', `no answer within ${options.attestTimeoutMs} ms`)),
  );
  try {
    return await Promise.race([attestor.attest(caller, everything, remark), late.promise]);
  } catch (error) {
    const message = `the ${attestor.name} attestor failed: ${safeReason(error)}`;
    // One of ours is in the message whole: the log would only add its stack, as often as a caller comes back.
    const cause = error instanceof SidekeyError ? error.cause : error;
    throw new SidekeyError('ERR_ATTESTATION_FAILED', message, { cause });
  } finally {
    deadline.cancel();
  }
}

/** An error's message may hold what the attestor read, such as an environment: only ours and bare error codes are shown. */
function safeReason(error: unknown): string {
  if (error instanceof SidekeyError) return error.message;
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]*$/.test(code) ? code : 'an unexpected error';
}
