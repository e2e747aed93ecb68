/** Changes the level of the log while the server runs. */

import type { LevelControl } from '../admin/index.ts';
import type { Log, LogLevel } from '../telemetry/index.ts';

/** @param setting the level of the settings */
export function levelControl(log: Log, setting: LogLevel): LevelControl {
  return {
    setting,
    level: () => log.level as LogLevel,
    change: (level) => {
      const before = log.level;
      if (level === before) return;
      const tell = () => log.warn({ from: before, to: level, setting }, 'log level changed until the server restarts');
      // With the more verbose of the two levels, so that the log shows why lines begin or cease.
      if (log.isLevelEnabled(level)) {
        tell();
        log.level = level;
      } else {
        log.level = level;
        tell();
      }
    },
  };
}
