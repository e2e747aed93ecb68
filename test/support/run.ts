/** Commands that a test runs to their ends. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; `started` is called when it has a pid, and its stdin ends afterwards. */
export async function run(words: readonly string[], started: (pid: number) => void = () => undefined): Promise<Ran> {
  const [program, ...args] = words;
  const child = spawn(program!, args, { cwd: '/', stdio: 'pipe' });
  started(child.pid!);
  child.stdin.end();
  const ended = once(child, 'close');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = (await ended) as [number | null];
  return { status, stdout, stderr };
}
