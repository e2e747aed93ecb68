/** JSON logs on stdout, one line an event (pino). */

import pino from 'pino';

export type Log = pino.Logger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Keys, tokens and environment values are never given to the log; `redact` is the second line of defence. */
export function createLog(level: LogLevel): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ['privateKey', '*.privateKey', 'token', '*.token', 'req.headers.authorization'],
        censor: '[redacted]',
      },
      serializers: { err: pino.stdSerializers.errWithCause },
    },
    pino.destination({ dest: 1, sync: true }),
  );
}
