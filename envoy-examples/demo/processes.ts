/** The demo's child processes: each in a process group of its own, with a log file, and none left behind. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** What a process gets to end by itself after SIGTERM; Sidekey promises 5 s. */
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
  /** The last lines of what it has written. */
  tail(lines: number): string;
  /** SIGTERM, and SIGKILL to what is left of its group after a while. Says how it ended. */
  stop(): Promise<Ended>;
}

export interface Processes {
  /** @throws Error when the program can't be started */
  start(name: string, command: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Running>;
  /** Every one that was started, ended or not. */
  all(): readonly Running[];
  /** Resolves to its name when one ends that nobody stopped. */
  readonly lost: Promise<string>;
  /** Stops them all; none can be started any more. */
  stopAll(): Promise<void>;
  /** For the last moment of this process, when nothing can be awaited any more. */
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
  // A group of its own keeps the terminal's Ctrl-C away from it: the demo stops its processes itself, in order.
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
