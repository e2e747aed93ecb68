/** The log on stdout, one line per event (pino): JSON, or text for people. Log calls never throw, whatever their arguments. */

import { isatty } from 'node:tty';
import pino from 'pino';
import { type Clock, printableLines, SystemClock, wantsColour } from '../base/index.ts';
import type { LogFormat, LogLevel } from './levels.ts';
import { type LeftOut, LineBudget } from './line-budget.ts';
import { LogCounts } from './log-counts.ts';
import { textLine } from './log-text.ts';
import { type Dropped, LogWriter } from './log-writer.ts';
import { briefError, serializeError } from './serialize-error.ts';
import { openStdout } from './stdout.ts';

export type Log = pino.Logger;

/** How long a stalled reader can delay the end of the process, in milliseconds. */
const FLUSH_MS = 250;

/** Shared, since the process has one stdout. */
const stdout = new LogWriter({
  open: openStdout,
  clock: new SystemClock(),
  report: (dropped) => inForm(reportOf(dropped)),
});

/** The form of a line on stdout. */
let inForm: (line: string) => string = (line) => line;

/** The owner of a log's lines, on logs of {@link ownedLog} and their children. */
const OWNER: unique symbol = Symbol('owner');
type Owned = Log & { [OWNER]?: string };

/**
 * Creates a log. Keys, tokens and environment values must never be passed to it; `redact` is only a second line of
 * defence.
 * @param write writes whole lines and must not throw; default: to stdout
 */
export function createLog(
  level: LogLevel,
  { clock = new SystemClock(), format, write = toStdout(format), counts = new LogCounts() }: LogOptions = {},
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
          if (owner !== undefined && number >= pino.levels.values.info! && !budget.mayLog(owner)) {
            counts.leftOut += 1;
            return;
          }
          counts.lines.add(pino.levels.labels[number] as LogLevel);
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
  // Children inherit this. pino serializes bindings when a child is created.
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
  /** Of lines on stdout; by default JSON. */
  readonly format?: LogFormat | undefined;
  readonly write?: (line: string) => void;
  readonly counts?: LogCounts;
}

function toStdout(format: LogFormat | undefined): (line: string) => void {
  if (format === 'text') {
    const isColoured = wantsColour(isatty(1), process.env);
    inForm = (line) => textLine(line, isColoured);
  }
  return (line) => stdout.write(inForm(line));
}

/**
 * A log for lines that a caller without a token (on the agent socket or the admin API) can cause at will. From level
 * info up, the owner's budget ({@link LineBudget}) applies, and errors have no stack. At debug and trace every line is
 * logged.
 */
export function ownedLog(log: Log, owner: string, bindings: pino.Bindings = {}): Log {
  const owned: Owned = log.child(bindings, { serializers: { err: briefError } });
  owned[OWNER] = owner;
  return owned;
}

/** The number of lines since the start that stdout did not take. */
export function droppedLogLines(): number {
  return stdout.dropped;
}

/** Waits for the reader of stdout before the process ends. */
export function flushLog(): Promise<void> {
  return stdout.flush(FLUSH_MS);
}

function tellLeftOut(log: Log, { owner, lines }: LeftOut): void {
  log.warn({ owner, lines }, `${lines} log lines of ${owner} were left out: its budget was exceeded`);
}

/** Logged at any level, so that a gap is always visible. */
function reportOf({ lines, code }: Dropped): string {
  const why = code === 'EAGAIN' ? 'the reader of this log stalled' : code;
  return lineOf({ level: 'warn', lines, code, msg: `${lines} lines were dropped: ${why}` });
}

/** The line for arguments whose getter or toJSON threw: the message without the fields. */
function lineWithoutFields(number: number, args: readonly unknown[], thrown: unknown): string {
  const msg = args.find((one) => typeof one === 'string') ?? 'log line without a message';
  const problem = thrown instanceof Error ? String(Reflect.get(thrown, 'message')) : typeof thrown;
  return printableLines(
    lineOf({ level: pino.levels.labels[number], msg, fields: `left out: they could not be written (${problem})` }),
  );
}

function lineOf({ level, ...fields }: Record<string, unknown>): string {
  return `${JSON.stringify({ level, time: new Date().toISOString(), ...fields })}\n`;
}
