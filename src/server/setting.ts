import type { Clock } from '../base/clock.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import type { Log } from '../telemetry/log.ts';
import type { Parts } from './parts.ts';

/** What each step of a start has. */
export interface Setting {
  readonly config: ServeConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly parts: Parts;
  /** Between steps, some of which take a while: signals are heard only when the event loop turns. @throws the signal's reason */
  mayGoOn(): Promise<void>;
}
