/** How tokens are asked for and how long new ones take, for the metrics. */

import { secondsSince, Tally, Times } from '../telemetry/index.ts';

/** issued: new; cached: one that was given out before; refused: by the audiences or a limit; failed: could not be signed or recorded. */
const RESULTS = ['issued', 'cached', 'refused', 'failed'] as const;
export type TokenResult = (typeof RESULTS)[number];

export class TokenCounts {
  readonly results = new Tally<TokenResult>(RESULTS);
  /** From the request to the recorded token, with the time in the queue. */
  readonly times = new Times();

  async measure<T>(issue: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      const token = await issue();
      this.times.add(secondsSince(begun));
      this.results.add('issued');
      return token;
    } catch (error) {
      this.results.add('failed');
      throw error;
    }
  }
}
