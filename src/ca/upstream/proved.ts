/** Makes an upstream authority from a source: writes the CSR, limits the time, and verifies the answer. */

import { type Clock, SidekeyError } from '../../base/index.ts';
import type { TrustDomain } from '../../spiffe/index.ts';
import type { NamePart } from '../name.ts';
import { makeCsr } from './csr.ts';
import { proveAnswer } from './proof.ts';
import type { Minted, MintRequest, UpstreamAnswer, UpstreamAuthority, UpstreamSource } from './upstream.ts';

export interface ProvedOptions {
  readonly trustDomain: TrustDomain;
  /** The first parts of intermediates' subjects. */
  readonly subject: readonly NamePart[];
  readonly clock: Clock;
  /** How long one request may take, in milliseconds. */
  readonly timeout: number;
}

/** The minimum remaining lifetime of an answer is a tenth of the requested one, but at most this, in milliseconds. */
const LEAST_LIFE_MS = 3_600_000;

export function proved(source: UpstreamSource, options: ProvedOptions): UpstreamAuthority {
  const { kind, description, changed, signsMeanwhile } = source;
  return {
    ...{ kind, description },
    ...(signsMeanwhile === undefined ? {} : { signsMeanwhile }),
    ...(changed === undefined ? {} : { changed }),
    problem: () => source.problem(),
    trusted: () => source.trusted(),
    close: () => source.close(),
    check: () => source.check().catch((error: unknown) => Promise.reject(failure(source, error))),
    mint: (request) => mint(source, options, request),
  };
}

async function mint(source: UpstreamSource, options: ProvedOptions, request: MintRequest): Promise<Minted> {
  const { trustDomain, subject, clock, timeout } = options;
  const { privateKey, life, leastLife = Math.min(life / 10, LEAST_LIFE_MS) } = request;
  try {
    const csr = await makeCsr({ trustDomain, subject, privateKey });
    const answer = await signed(source, { csr, life }, timeout, request.signal);
    const trusted = await source.trusted();
    return await proveAnswer(answer, { trustDomain, privateKey, trusted, leastLife, now: clock.now() });
  } catch (error) {
    throw failure(source, error);
  }
}

function failure({ description }: UpstreamSource, cause: unknown): SidekeyError {
  const message = `the upstream authority (${description}): ${(cause as Error).message}`;
  return new SidekeyError('ERR_UPSTREAM', message, { cause });
}

async function signed(
  source: UpstreamSource,
  request: { readonly csr: string; readonly life: number },
  timeout: number,
  given: AbortSignal | undefined,
): Promise<UpstreamAnswer> {
  const limit = AbortSignal.timeout(timeout);
  const signal = given === undefined ? limit : AbortSignal.any([given, limit]);
  try {
    return await source.sign({ ...request, signal });
  } catch (error) {
    if (limit.aborted) throw new Error(`no answer within ${timeout / 1000} s`, { cause: error });
    if (given?.aborted) throw new Error('the request was ended before there was an answer', { cause: error });
    throw error;
  }
}
