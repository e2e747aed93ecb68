import type { Clock } from '../base/index.ts';
import type { ServeConfig } from '../config/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { Meters } from './metrics.ts';
import type { Parts } from './parts.ts';

/** What each step of a start needs. */
export interface StartContext<Config = ServeConfig> {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly parts: Parts;
  readonly meters: Meters;
  /**
   * Lets the event loop run between long steps, so that signals are handled.
   * @throws the reason of the signal that arrived
   */
  mayGoOn(): Promise<void>;
}
