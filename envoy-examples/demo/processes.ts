/** The demo's child processes. Each has its own process group and log file. None is left running. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Time between SIGTERM and SIGKILL, in milliseconds. Sidekey needs at most 5 s to stop. */
const GRACE_MS = 6_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Running {
  readonly name: string;
  readonly pid: number;
  /** Undefined while it runs. */
  readonly ended: Ended | undefined;
  /** The last lines of its output. */
  tail(lines: number): string;
  /** Sends SIGTERM to its group, and SIGKILL after {@link GRACE_MS}. Resolves when it has ended. */
  stop(): Promise<Ended>;
}

export interface Processes {
  /** @throws Error if the program can't be started */
  start(name: string, command: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Running>;
  /** All processes that were started, including those that have ended. */
  all(): readonly Running[];
  /** Resolves to the name of the first process that ends without being stopped. */
  readonly lost: Promise<string>;
  /** Stops all processes and prevents further starts. */
  stopAll(): Promise<void>;
  /** Synchronous, for the 'exit' event. */
  killAll(): void;
}

/** @param logs an existing folder; each process writes to `<name>.log` in it */
export function createProcesses(logs: string): Processes {
  const started: Running[] = [];
  const lost = Promise.withResolvers<string>();
  let closed = false;
  const running = () => started.filter(({ ended }) => ended === undefined);
  return {
    async start(name, command, args, env = process.env) {
      if (closed) throw new Error(`${name} is not started: the demo is ending`);
      const child = await start(name, path.join(logs, `${name}.log`), command, args, env, () => lost.resolve(name));
      started.push(child);
      return child;
    },
    all: () => started,
    lost: lost.promise,
    async stopAll() {
      closed = true;
      await Promise.all(running().map((child) => child.stop()));
    },
    killAll() {
      for (const { pid } of running()) signalGroup(pid, 'SIGKILL');
    },
  };
}

async function start(
  name: string,
  log: string,
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  lost: () => void,
): Promise<Running> {
  const output = openSync(log, 'a', 0o600);
  // In its own process group it does not get the terminal's Ctrl-C: the demo stops its processes itself.
  const child = spawn(command, args, { detached: true, stdio: ['ignore', output, output], env });
  closeSync(output);
  let ended: Ended | undefined;
  let stopping = false;
  const exit = new Promise<Ended>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = { code, signal };
      resolve(ended);
      if (!stopping) lost();
    });
  });
  await spawned(child);
  const pid = child.pid!;
  return {
    name,
    pid,
    get ended() {
      return ended;
    },
    tail: (lines) => readFileSync(log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n'),
    async stop() {
      stopping = true;
      signalGroup(pid, 'SIGTERM');
      const late = setTimeout(() => signalGroup(pid, 'SIGKILL'), GRACE_MS);
      const how = await exit;
      clearTimeout(late);
      return how;
    },
  };
}

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
