/** The log, its limit per owner, and the counters. */

export { Counters } from './counters.ts';
export { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from './levels.ts';
export { createLog, flushLog, type Log, ownedLog } from './log.ts';
export { textLine } from './log-text.ts';
export { Rarely } from './rarely.ts';
