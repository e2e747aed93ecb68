/** JSON logs on stdout, one line an event (pino). */

import { fstatSync } from 'node:fs';
import pino from 'pino';
import type { LogLevel } from './levels.ts';
import { createLogPipe, flushed } from './log-pipe.ts';

export type Log = pino.Logger;

/** How long a reader that stalls can hold the end of the process, in milliseconds. */
const FLUSH_MS = 250;

/** Keys, tokens and environment values are never given to the log; `redact` is the second line of defence. */
export function createLog(level: LogLevel): Log {
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ['privateKey', '*.privateKey', 'token', '*.token', 'req.headers.authorization'],
        censor: '[redacted]',
      },
      serializers: { err: serializeError },
    },
    isPipe() ? createLogPipe(process.stdout, tell) : pino.destination({ dest: 1, sync: true }),
  );
  /** Whatever the level is: a gap is to be seen. */
  function tell(lines: number): void {
    log.child({}, { level: 'warn' }).warn({ lines }, 'the reader of this log stalled: lines were dropped');
  }
  return log;
}

/** As pino has it, but `type` is the error's name: that of its class is another one in a bundle, `_SidekeyError`. */
export function serializeError(error: Error): unknown {
  const serialized = pino.stdSerializers.errWithCause(error);
  let shown: { type: string; cause?: unknown } | undefined = serialized;
  for (let one: unknown = error; one instanceof Error && shown !== undefined; one = one.cause) {
    shown.type = one.name;
    shown = shown.cause as typeof shown;
  }
  return serialized;
}

/** Gives the last lines to the reader before the process ends. */
export function flushLog(): Promise<void> {
  return isPipe() ? flushed(process.stdout, FLUSH_MS) : Promise.resolve();
}

/** Writing to a file or a terminal is done when the call returns; Node never waits for the reader of a pipe. */
function isPipe(): boolean {
  const stdout = fstatSync(1);
  return stdout.isFIFO() || stdout.isSocket();
}
