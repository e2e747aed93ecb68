/** What a start begins with, of a server or an agent. */

import { setImmediate as turn } from 'node:timers/promises';
import { isatty } from 'node:tty';
import type { Clock } from '../base/index.ts';
import type { HostConfig, ServeConfig } from '../config/index.ts';
import { createLog, type Log, LogCounts } from '../telemetry/index.ts';
import { createMeters, type Meters } from './metrics.ts';
import { Parts } from './parts.ts';

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

/** @param stop ends the start */
export function openContext<Config extends HostConfig>(
  config: Config,
  clock: Clock,
  stop: AbortSignal,
): StartContext<Config> {
  const counts = new LogCounts();
  const format = config.logFormat ?? (isatty(1) ? 'text' : 'json');
  const log = createLog(config.logLevel, { format, counts });
  const parts = new Parts(log);
  return {
    ...{ config, clock, log, parts },
    meters: createMeters(config, counts, parts),
    mayGoOn: async () => {
      await turn();
      stop.throwIfAborted();
    },
  };
}
