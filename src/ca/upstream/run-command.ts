/**
 * Runs one program with bounded time, input and output. It gets no shell, none of Sidekey's environment, and no
 * descriptors except stdin, stdout and stderr. Its process group is killed at a limit.
 */

import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';

export interface CommandRun {
  /** The program's file, without symbolic links. */
  readonly file: string;
  /** The first one is the program's name, as in execve(2). */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  /** In bytes. */
  readonly maxOutput: number;
  readonly signal: AbortSignal;
}

export interface CommandResult {
  /** Undefined if a signal ended it. */
  readonly status: number | undefined;
  readonly endedBy: NodeJS.Signals | undefined;
  readonly stdout: string;
  /** The beginning of stderr, not escaped. */
  readonly stderr: string;
}

/** Bytes of stderr that are kept; the rest is read and thrown away. */
const KEPT_STDERR = 4_096;
/** How long output may come after the end of the program, from a process that it left behind; in milliseconds. */
const DRAIN_MS = 1_000;

/** @throws {Error} if it cannot be started or gives too much output; the signal's reason */
export async function runCommand(run: CommandRun): Promise<CommandResult> {
  const { file, argv, env, stdin, maxOutput, signal } = run;
  signal.throwIfAborted();
  // A process group of its own, so that all of it can be killed.
  const child = spawn(file, argv.slice(1), { argv0: argv[0]!, env, cwd: '/', stdio: 'pipe', detached: true });
  let isRunning = true;
  const killGroup = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // The group has no process left.
    }
  };
  const ended = new Promise<Pick<CommandResult, 'status' | 'endedBy'>>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status, endedBy) => {
      isRunning = false;
      // Kills processes that the program left in its group. The kernel cannot have reused the group's id yet.
      killGroup();
      resolve({ status: status ?? undefined, endedBy: endedBy ?? undefined });
    });
  });
  // A program may ignore its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  const stop = { now: (_reason: unknown): void => undefined };
  const stopped = new Promise<never>((_, reject) => {
    stop.now = (reason) => {
      if (isRunning) killGroup();
      reject(reason);
    };
  });
  stopped.catch(() => undefined); // it may reject before anything awaits it
  const aborted = () => stop.now(signal.reason);
  signal.addEventListener('abort', aborted, { once: true });
  const output = collect(child.stdout, maxOutput, () => {
    stop.now(new Error(`it printed more than ${maxOutput} bytes`));
  });
  const complaints = collect(child.stderr, KEPT_STDERR);
  try {
    const end = await Promise.race([ended, stopped]);
    await Promise.race([Promise.all([output.end, complaints.end]), wait(DRAIN_MS), stopped]);
    return { ...end, stdout: output.text(), stderr: complaints.text() };
  } finally {
    signal.removeEventListener('abort', aborted);
    child.stdin.destroy();
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

interface Collected {
  readonly end: Promise<void>;
  text(): string;
}

/** Keeps the first `limit` bytes. `more` is called when there are more. */
function collect(stream: Readable, limit: number, more?: () => void): Collected {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const end = new Promise<void>((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      const room = limit - bytes;
      if (room > 0) chunks.push(chunk.subarray(0, room));
      bytes += chunk.length;
      if (bytes > limit) more?.();
    });
    stream.once('close', resolve);
    stream.once('error', () => resolve());
  });
  return { end, text: () => Buffer.concat(chunks).toString('utf8') };
}

function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref();
  });
}
