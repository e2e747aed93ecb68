/** Exit statuses, and what stands on stderr with them. */

import { formatProblem, type Problem } from '../base/errors.ts';

export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

/** The command was given wrongly: exit status 2. */
export class UsageError extends Error {}

/** Prints the error for a person and returns the exit status. */
export function report(thrown: unknown): number {
  const { message, code, problems = [] } = thrown as Error & { code?: unknown; problems?: readonly Problem[] };
  if (problems.length === 0) print(message);
  for (const problem of problems) print(formatProblem(problem));
  return thrown instanceof UsageError || code === 'ERR_CONFIG' ? EXIT.usage : EXIT.failed;
}

function print(text: string): void {
  process.stderr.write(`sidekey: ${text}\n`);
}
