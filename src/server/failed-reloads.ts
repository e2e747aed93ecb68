/** What the last reload could not apply, for `sidekey doctor`. */

import type { DoctorJson } from '../admin/index.ts';
import { type Clock, formatProblem, SidekeyError } from '../base/index.ts';

export type ReloadPart = DoctorJson['failed_reloads'][number]['part'];

/** Maximum number of problems that are kept for each part. */
const KEPT = 5;

export class FailedReloads {
  readonly #clock: Clock;
  readonly #failures = new Map<ReloadPart, DoctorJson['failed_reloads'][number]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  failed(part: ReloadPart, thrown: unknown): void {
    const { problems, message } = SidekeyError.from(thrown);
    const texts = problems.length === 0 ? [message] : problems.slice(0, KEPT).map(formatProblem);
    this.#failures.set(part, { part, at: new Date(this.#clock.now()).toISOString(), problems: texts });
  }

  succeeded(part: ReloadPart): void {
    this.#failures.delete(part);
  }

  list(): DoctorJson['failed_reloads'] {
    return [...this.#failures.values()];
  }
}
