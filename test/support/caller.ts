/** Real processes on the other end of the pipe. */

import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import readline from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

export interface Caller {
  readonly pid: number;
  /** Has the process do something and waits until it has. See `caller-program.ts` for what it can do. */
  tell(command: string, ...args: unknown[]): Promise<unknown>;
  /** Has the process do something that it doesn't come back from. */
  tellLast(command: string, ...args: unknown[]): void;
  /** Resolves when it has ended. */
  readonly ended: Promise<unknown>;
}

const PROGRAM = fileURLToPath(new URL('caller-program.ts', import.meta.url));

/** Starts a caller, as whom the test runs or, for a test that runs as root, as somebody else. @param node the Node that it runs */
export function startCaller(t: TestContext, node = process.execPath): Caller {
  return controlCaller(t, spawn(node, [PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] }));
}

/** A caller that was started as `child`, or that `child` stands for. */
export function controlCaller(t: TestContext, child: ChildProcessByStdio<Writable, Readable, null>): Caller {
  endAfter(t, child);
  const answers = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const tellLast = (command: string, ...args: unknown[]): void => {
    child.stdin.write(`${JSON.stringify([command, ...args])}\n`);
  };
  return {
    pid: child.pid!,
    tellLast,
    async tell(command, ...args) {
      tellLast(command, ...args);
      const { done, value } = await answers.next();
      if (done === true) throw new Error(`the caller ended before it had done "${command}"`);
      return JSON.parse(value);
    },
    ended: once(child, 'exit'),
  };
}

/** Ends a process that the test started, when the test is over. */
export function endAfter(t: TestContext, child: ChildProcess): void {
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
}
