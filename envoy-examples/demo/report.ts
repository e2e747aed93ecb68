/** The demo's output: one aligned line for each step, with its duration; colours only on a terminal. */

import { Unexpected } from './expect.ts';
import type { Running } from './processes.ts';

/** The result of a step. */
export interface Shown {
  /** The measured time in milliseconds, by default that of the whole step. */
  readonly ms?: number;
  readonly detail: string;
  /** Printed below the step's line, such as a command and its output. */
  readonly lines?: readonly string[];
}

const TITLE_WIDTH = 46;
const TIME_WIDTH = 9;
const TAIL_LINES = 12;

const coloured = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code: number) => (text: string) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text);
const green = paint(32);
const red = paint(31);
const dim = paint(2);
export const bold = paint(1);

let quiet = false;

export function say(line = ''): void {
  if (!quiet) process.stdout.write(`${line}\n`);
}

/** Suppresses further output, so that an interrupted step does not print its failure. */
export function hush(): void {
  quiet = true;
}

/** Runs one step and prints its line. */
export async function step(title: string, run: () => Promise<Shown>): Promise<void> {
  const begin = performance.now();
  try {
    const { ms = performance.now() - begin, detail, lines = [] } = await run();
    const time = `${ms.toFixed(ms < 10 ? 1 : 0)} ms`.padStart(TIME_WIDTH);
    say(`  ${green('✓')} ${title.padEnd(TITLE_WIDTH)}${time}  ${dim(detail)}`);
    for (const line of lines) say(`      ${dim(line)}`);
  } catch (error) {
    say(`  ${red('✗')} ${title}`);
    throw error;
  }
}

/** Prints what was expected and seen, and the end of each process's log. */
export function sayFailure(error: unknown, processes: readonly Running[]): void {
  say();
  if (error instanceof Unexpected) {
    say(`${red('expected')}  ${error.expected}`);
    say(`${red('seen')}      ${error.seen}`);
  } else say(red(error instanceof Error ? (error.stack ?? error.message) : String(error)));
  for (const { name, ended, tail } of processes) {
    const state = ended === undefined ? 'running' : `ended with ${ended.signal ?? ended.code}`;
    say(`\n${bold(`${name} (${state})`)}\n${dim(tail(TAIL_LINES))}`);
  }
}
