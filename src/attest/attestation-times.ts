/** How attestations ended and how long they took, for the metrics. */

import { SidekeyError } from '../base/index.ts';
import { LONG, secondsSince, Tally, Times } from '../telemetry/index.ts';

/** The results of one attestor. `timeout`: it did not answer in time. */
export const ATTESTOR_RESULTS = ['ok', 'failed', 'timeout'] as const;
export type AttestorResult = (typeof ATTESTOR_RESULTS)[number];

/**
 * The results of a whole attestation. `gone`: the caller has ended or disconnected; `changed`: it executed another
 * program or changed its user or groups; `unattestable`: the kernel does not say who it is; `failed`: an attestor.
 */
const RESULTS = ['ok', 'failed', 'gone', 'changed', 'unattestable'] as const;
export type AttestationResult = (typeof RESULTS)[number];

export class AttestationTimes {
  readonly results = new Tally<AttestationResult>(RESULTS);
  readonly #attestors = new Map<string, Readonly<Record<AttestorResult, Times>>>();

  /** By attestor. @param names the attestors that run */
  constructor(names: readonly string[]) {
    for (const name of names) {
      this.#attestors.set(name, { ok: new Times(LONG), failed: new Times(LONG), timeout: new Times(LONG) });
    }
  }

  /** @param begun by `performance.now()` */
  attestor(name: string, result: AttestorResult, begun: number): void {
    this.#attestors.get(name)?.[result].add(secondsSince(begun));
  }

  /** Attestors that did not answer in time. */
  get timeouts(): number {
    let sum = 0;
    for (const { timeout } of this.#attestors.values()) sum += timeout.count;
    return sum;
  }

  /** Counts the result of the attestation and passes it on. */
  async count<T>(attesting: Promise<T>): Promise<T> {
    try {
      const attestation = await attesting;
      this.results.add('ok');
      return attestation;
    } catch (error) {
      this.results.add(resultOf(error));
      throw error;
    }
  }

  *attestors(): Iterable<{ readonly attestor: string; readonly result: AttestorResult; readonly times: Times }> {
    for (const [attestor, byResult] of this.#attestors) {
      for (const result of ATTESTOR_RESULTS) yield { attestor, result, times: byResult[result] };
    }
  }
}

function resultOf(error: unknown): AttestationResult {
  const code = error instanceof SidekeyError ? error.code : undefined;
  if (code === 'ERR_PEER_GONE') return 'gone';
  if (code === 'ERR_PEER_CHANGED') return 'changed';
  return code === 'ERR_PEER_UNATTESTABLE' ? 'unattestable' : 'failed';
}
