/** JSON logs on stdout, one line an event (pino). A call of the log never throws, whatever it is given. */

import pino from 'pino';
import { type Clock, SystemClock } from '../base/clock.ts';
import { printableLines } from '../base/printable.ts';
import type { LogLevel } from './levels.ts';
import { type LeftOut, LineBudget } from './line-budget.ts';
import { type Dropped, LogWriter } from './log-writer.ts';
import { briefError, serializeError } from './serialize-error.ts';
import { openStdout } from './stdout.ts';

export type Log = pino.Logger;

/** How long a reader that stalls can hold the end of the process, in milliseconds. */
const FLUSH_MS = 250;

/** One for the process, which has one stdout. */
const stdout = new LogWriter({ open: openStdout, clock: new SystemClock(), report: reportOf });

/** On a log that {@link ownedLog} made, and on its children: who answers for the lines. */
const OWNER: unique symbol = Symbol('owner');
type Owned = Log & { [OWNER]?: string };

/**
 * Keys, tokens and environment values are never given to the log; `redact` is the second line of defence.
 * @param write takes whole lines, and must not throw; stdout's where it is left out
 */
export function createLog(
  level: LogLevel,
  { clock = new SystemClock(), write = (line: string) => stdout.write(line) }: LogOptions = {},
): Log {
  const budget = new LineBudget(clock, (leftOut) => tellLeftOut(log, leftOut));
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
      hooks: {
        logMethod(args, method, number) {
          const owner = (this as Owned)[OWNER];
          if (owner !== undefined && number >= pino.levels.values.info! && !budget.mayLog(owner)) return;
          try {
            method.apply(this, args);
          } catch (thrown) {
            write(lineWithoutFields(number, args, thrown));
          }
        },
      },
    },
    { write: (line) => write(printableLines(line)) },
  );
  const child = log.child;
  // Inherited by all that descends from it. Bindings are made text when the child is made.
  log.child = function safeChild(this: Log, ...args: Parameters<typeof child>) {
    try {
      return child.apply(this, args);
    } catch {
      return Object.create(this) as ReturnType<typeof child>;
    }
  } as typeof child;
  return log;
}

export interface LogOptions {
  readonly clock?: Clock;
  readonly write?: (line: string) => void;
}

/**
 * A log for lines that a caller on the pipe, or on the admin API without a token, can cause at will. From level info on,
 * they are within the owner's budget ({@link LineBudget}); errors are without a stack. At debug and trace every line is
 * logged: these levels are for seeing all.
 */
export function ownedLog(log: Log, owner: string, bindings: pino.Bindings = {}): Log {
  const owned: Owned = log.child(bindings, { serializers: { err: briefError } });
  owned[OWNER] = owner;
  return owned;
}

/** Gives the last lines to the reader before the process ends. */
export function flushLog(): Promise<void> {
  return stdout.flush(FLUSH_MS);
}

function tellLeftOut(log: Log, { owner, lines }: LeftOut): void {
  log.warn({ owner, lines }, `${lines} log lines of ${owner} were left out: more than its budget`);
}

/** Whatever the level of the log is: a gap is to be seen. */
function reportOf({ lines, code }: Dropped): string {
  const why = code === 'EAGAIN' ? 'the reader of this log stalled' : code;
  return lineOf({ level: 'warn', lines, code, msg: `${lines} lines were dropped: ${why}` });
}

/** A getter or a toJSON method threw: the message is logged all the same. */
function lineWithoutFields(number: number, args: readonly unknown[], thrown: unknown): string {
  const msg = args.find((one) => typeof one === 'string') ?? 'a line without a message';
  const problem = thrown instanceof Error ? String(Reflect.get(thrown, 'message')) : typeof thrown;
  return printableLines(
    lineOf({ level: pino.levels.labels[number], msg, fields: `left out: they could not be written (${problem})` }),
  );
}

function lineOf({ level, ...fields }: Record<string, unknown>): string {
  return `${JSON.stringify({ level, time: new Date().toISOString(), ...fields })}\n`;
}
