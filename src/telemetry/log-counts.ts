/** What became of log lines. */

import { LOG_LEVELS, type LogLevel } from './levels.ts';
import { Tally } from './tally.ts';

export class LogCounts {
  /** Lines that were logged, by level. */
  readonly lines = new Tally<LogLevel>(LOG_LEVELS);
  /** Lines that an owner's budget left out. */
  leftOut = 0;
}
