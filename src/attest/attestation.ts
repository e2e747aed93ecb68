/** Runs all attestors on a process and combines their selectors. */

import { type Clock, SidekeyError } from '../base/index.ts';
import { compareSelectors, formatSelector, isNegated, type Selector } from '../spiffe/index.ts';
import type { AttestationTimes, AttestorResult } from './attestation-times.ts';
import type { WhyContained } from './contained.ts';
import { NO_VALUES, valuesOf } from './placeholders.ts';
import type { AskedSelectors, Attestation, Attestor, CallingProcess, FurtherFacts, PlaceholderValue } from './types.ts';

export interface AttestOptions {
  readonly attestors: readonly Attestor[];
  readonly clock: Clock;
  /** Called at each attestation. */
  readonly whyContained: WhyContained;
  /**
   * The same for the attestors, if entries with only unix selectors apply to contained callers too: what an attestor does
   * not know of a container is unknown even then. Undefined: {@link whyContained}.
   */
  readonly whySeenContained?: WhyContained | undefined;
  /** True for selectors to keep. By default all are kept. See `asked.ts`. */
  readonly keeps?: (selector: Selector) => boolean;
  /** The negative selectors and placeholders that entries have; undefined: none. */
  readonly asked?: AskedFurther;
  /** Time limit of each attestor, in milliseconds; they run concurrently. */
  readonly attestTimeoutMs: number;
  /** Undefined: nothing is counted. */
  readonly times?: AttestationTimes;
}

export type AskedFurther = Pick<AskedSelectors, 'negatives' | 'placeholders'>;

/** What one attestor found. */
export interface AttestorFound {
  readonly selectors: Selector[];
  /** The negative selectors of entries that the caller is known to satisfy. */
  readonly negatives: readonly Selector[];
  readonly values: ReadonlyMap<string, PlaceholderValue>;
}

/**
 * Fails closed: if one attestor fails or is late, the attestation fails, because its selectors are unknown.
 * @param caller `contained` is what the attestors are told; undefined: `contained`, the other parameter
 * @param contained the reason why entries with only unix selectors do not apply to the caller; undefined if they do
 * @throws ERR_ATTESTATION_FAILED with the attestor's name, and with the reason if that is safe to show
 */
export async function collectSelectors(
  caller: CallingProcess,
  contained: string | undefined,
  options: AttestOptions,
): Promise<Attestation> {
  const attested = { ...caller, contained: caller.contained ?? contained };
  const found = await Promise.all(options.attestors.map((attestor) => runAttestor(attestor, attested, options)));
  const selectors = found.flatMap((one) => one.selectors);
  const kept = options.keeps === undefined ? selectors : selectors.filter(options.keeps);
  return makeAttestation([...kept, ...found.flatMap((one) => one.negatives)], contained, valuesOf(found));
}

/**
 * Sorts the selectors, drops duplicates and derives the keys.
 * @param found the caller's facts, and the negative selectors that it is known to satisfy
 */
export function makeAttestation(
  found: readonly Selector[],
  contained?: string,
  values: ReadonlyMap<string, PlaceholderValue> = NO_VALUES,
): Attestation {
  const byKey = new Map(found.map((selector) => [formatSelector(selector), selector]));
  const all = [...byKey.values()].sort(compareSelectors);
  const selectors = all.some(isNegated) ? all.filter((selector) => !isNegated(selector)) : all;
  const keys = all.map(formatSelector);
  const known = values.size === 0 ? keys : [...keys, [...values].sort(([a], [b]) => (a < b ? -1 : 1))];
  return { selectors, keys: new Set(keys), values, contained, key: JSON.stringify([contained ?? null, ...known]) };
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
): Promise<AttestorFound> {
  const late = Promise.withResolvers<never>();
  const begun = performance.now();
  let result: AttestorResult = 'ok';
  const deadline = options.clock.after(options.attestTimeoutMs, () => {
    result = 'timeout';
    late.reject(new SidekeyError('ERR_ATTESTATION_FAILED', `no answer within ${options.attestTimeoutMs} ms`));
  });
  try {
    let facts: FurtherFacts | undefined;
    const tell = (told: FurtherFacts) => {
      facts = told;
    };
    const told = isAskedForMore(attestor.name, options.asked) ? tell : undefined;
    const selectors = await Promise.race([attestor.attest(caller, everything, remark, told), late.promise]);
    return { selectors, ...further(attestor.name, facts, options.asked) };
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

function isAskedForMore(type: string, asked: AskedFurther | undefined): boolean {
  return asked !== undefined && (asked.negatives(type).length > 0 || asked.placeholders(type).length > 0);
}

/** A fact that is not known satisfies no negative selector, and fills no placeholder. */
function further(
  type: string,
  facts: FurtherFacts | undefined,
  asked: AskedFurther | undefined,
): Omit<AttestorFound, 'selectors'> {
  const [negatives, placeholders] = [asked?.negatives(type) ?? [], asked?.placeholders(type) ?? []];
  if (placeholders.length === 0 && (negatives.length === 0 || facts === undefined)) return NOTHING_FURTHER;
  return {
    negatives: facts === undefined ? [] : negatives.filter((negative) => facts.lacks(negative)),
    values: new Map(placeholders.map((one) => [one.name, facts?.valueFor(one) ?? UNKNOWN])),
  };
}

const NOTHING_FURTHER: Omit<AttestorFound, 'selectors'> = { negatives: [], values: NO_VALUES };
const UNKNOWN: PlaceholderValue = { why: 'it is not known of this caller' };

/** Other errors' messages may contain what the attestor read, such as an environment, so only their codes are shown. */
function safeReason(error: unknown): string {
  if (error instanceof SidekeyError) return error.message;
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]*$/.test(code) ? code : 'an unexpected error';
}
