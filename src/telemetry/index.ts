/** The log, its limit per owner, and what parts count and time for the metrics. */

export { COUNTERS, type CounterName, Counters, type LimitName } from './counters.ts';
export { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from './levels.ts';
export { createLog, droppedLogLines, flushLog, type Log, ownedLog } from './log.ts';
export { LogCounts } from './log-counts.ts';
export { textLine } from './log-text.ts';
export { LoopLag } from './loop-lag.ts';
export { Rarely } from './rarely.ts';
export { Tally } from './tally.ts';
export { LONG, secondsSince, Times } from './times.ts';
