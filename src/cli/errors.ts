/** Exit statuses and error messages. */

import { formatProblem, type Problem, printable, type SidekeyError } from '../base/index.ts';
import { wordsAsCalled } from './called-as.ts';

export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

/** Wrong usage of a command: exit status 2. */
export class UsageError extends Error {
  /** Commands with a bundle of their own have a class of their own, too, so `instanceof` does not find it. */
  readonly isUsage = true;
}

/** Prints the error with its code, which docs/errors.md explains, and returns the exit status. */
export function report(thrown: unknown): number {
  const {
    message,
    code,
    isUsage,
    problems = [],
  } = thrown as Error & { code?: unknown; isUsage?: unknown; problems?: readonly Problem[] };
  const texts = problems.length === 0 ? [message] : problems.map(asFlag).map(formatProblem);
  for (const text of texts) print(text, typeof code === 'string' && code.startsWith('ERR_') ? ` (${code})` : '');
  return isUsage === true || code === 'ERR_CONFIG' ? EXIT.usage : EXIT.failed;
}

/** Prints an error of something that goes on all the same, with its code. */
export function reportWarning({ message, code }: SidekeyError): void {
  print(`warning: ${message}`, ` (${code})`);
}

/** The problem with the flag in place of the request's parameter: `--spiffe-id` for `?spiffe_id`. */
function asFlag(problem: Problem): Problem {
  const { path } = problem;
  if (path === 'If-Match') return { ...problem, path: '--if-match' };
  return path.startsWith('?') ? { ...problem, path: `--${path.slice(1).replaceAll('_', '-')}` } : problem;
}

/** The code ends the first line, before a final colon; commands to copy follow on lines of their own. */
function print(text: string, code: string): void {
  const [first, ...rest] = wordsAsCalled(text).split('\n').map(printable);
  const [, sentence, colon] = /^(.*?)(:?)$/.exec(first!)!;
  process.stderr.write(`${[`sidekey: ${sentence}${code}${colon}`, ...rest].join('\n')}\n`);
}

/**
 * Runs `ask`; if it fails, replaces the paths of the problems by places that the user knows, such as flags or lines of a
 * file.
 */
export async function placed<T>(place: (problem: Problem) => Problem, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (thrown) {
    const { problems } = thrown as { problems?: readonly Problem[] };
    // Changes the error in place, because its class and code decide the exit status.
    if (problems !== undefined && problems.length > 0)
      Object.assign(thrown as object, { problems: problems.map(place) });
    throw thrown;
  }
}

/** Prints warnings about accepted input that probably does not do what was meant. */
export function printWarnings(warnings: readonly Problem[]): void {
  for (const warning of warnings) print(`warning: ${formatProblem(warning)}`, '');
}
