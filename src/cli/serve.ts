/** Runs a server or an agent until a signal stops it. */

import { once } from 'node:events';
import { isatty } from 'node:tty';
import { printable, SidekeyError } from '../base/index.ts';
import { type Flags, loadAgentConfig, loadServeConfig, type ServeConfig } from '../config/index.ts';
import { checkStart, hardenProcess, type StartCheck, Supervisor, startAgent, startServer } from '../server/index.ts';
import { flushLog } from '../telemetry/index.ts';
import { printWarnings, report, reportWarning } from './errors.ts';
import { nextSteps } from './next-steps.ts';

/** How long a stop may take, as docs/operations.md promises, in milliseconds. */
const STOP_MS = 5_000;

/** Exits with 0 after a signal. @throws ERR_CONFIG, as {@link hardenProcess}; any error of the start */
export async function serve(flags: Flags): Promise<void> {
  const sources = sourcesOf(flags);
  const readConfig = () => loadServeConfig(sources);
  await supervised(async (stop, supervisor) => {
    const config = await readConfig();
    const server = await startServer(config, undefined, stop, supervisor);
    if (isatty(1)) process.stdout.write(nextSteps(config, server.entries()));
    return { ...server, reload: () => server.reload(readConfig), failed: NEVER };
  });
}

/** The same of an agent. */
export async function runAgent(flags: Flags): Promise<void> {
  await supervised(async (stop, supervisor) => {
    const config = await loadAgentConfig(sourcesOf(flags));
    if (flags.joinToken !== undefined) printWarnings([TOKEN_ON_ARGV]);
    return startAgent(config, undefined, stop, supervisor);
  });
}

const TOKEN_ON_ARGV = {
  path: '--join-token',
  problem: 'every user of this host can read the token in the list of processes',
  rule: 'give it with --join-token-file FILE or SIDEKEY_JOIN_TOKEN',
};

/** A server or an agent that runs. */
interface Running {
  reload(): void;
  close(): Promise<void>;
  /** Resolves if it cannot go on. */
  readonly failed: Promise<SidekeyError>;
}

const NEVER = new Promise<never>(() => undefined);

async function supervised(start: (stop: AbortSignal, supervisor: Supervisor) => Promise<Running>): Promise<void> {
  const supervisor = Supervisor.take(process.env);
  try {
    await run(start, supervisor);
  } catch (thrown) {
    supervisor.failed(thrown);
    throw thrown;
  }
}

async function run(
  start: (stop: AbortSignal, supervisor: Supervisor) => Promise<Running>,
  supervisor: Supervisor,
): Promise<void> {
  hardenProcess();
  supervisor.starting();
  const signals = new Signals();
  const { stop } = signals;
  stop.addEventListener('abort', () => supervisor.stopping());
  try {
    const running = await start(stop, supervisor);
    signals.onReload(() => running.reload());
    const failure = stop.aborted ? undefined : await Promise.race([once(stop, 'abort'), running.failed]);
    await running.close();
    if (failure instanceof SidekeyError) throw failure;
  } catch (thrown) {
    if (!stop.aborted || thrown !== stop.reason) {
      await flushLog();
      // Unread log lines would keep the process alive; the caller has reported the error by now.
      setTimeout(() => process.exit(), 0).unref();
      throw thrown;
    }
  }
  await flushLog();
  process.exit(0);
}

/** Read once, so that a reload finds relative paths where the start did. */
function sourcesOf(flags: Flags): Parameters<typeof loadServeConfig>[0] {
  return { flags, env: process.env, uid: process.geteuid!(), folder: process.cwd() };
}

/** Prints what a start would do. @throws Error, for exit status 1, after the faults are printed */
export async function checkServe(flags: Flags): Promise<void> {
  const { isServed, lines, warnings, faults } = await checkSettings(() => loadServeConfig(sourcesOf(flags)));
  const start = isServed ? 'restart' : 'start';
  for (const line of lines) process.stdout.write(`${printable(line)}\n`);
  for (const warning of warnings) reportWarning(warning);
  for (const fault of faults) report(fault);
  if (faults.length > 0) throw new Error(`a ${start} with these settings would fail`);
  process.stdout.write(`a ${start} with these settings would work\n`);
}

async function checkSettings(readConfig: () => Promise<ServeConfig>): Promise<StartCheck> {
  let config: ServeConfig;
  try {
    config = await readConfig();
  } catch (thrown) {
    return { isServed: false, lines: [], warnings: [], faults: [SidekeyError.from(thrown)] };
  }
  return checkStart(config);
}

/** Signals of a supervisor and Ctrl-C stop the server; SIGHUP reloads, unless it says that the terminal was closed. */
class Signals {
  readonly #stop = new AbortController();
  readonly #terminals = terminals();
  #reload: (() => void) | undefined;
  #wantsReload = false;

  constructor() {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.#end());
    process.on('SIGHUP', () => {
      if (this.#isTerminalGone()) this.#end();
      else if (this.#reload === undefined) this.#wantsReload = true;
      else this.#reload();
    });
  }

  /** Aborts at the first signal. From then on the process exits within the time limit, and at a second signal at once. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  /** Sets the reload; runs it at once if a SIGHUP came during the start, after a file may have been read. */
  onReload(reload: () => void): void {
    this.#reload = reload;
    if (this.#wantsReload) reload();
  }

  #end(): void {
    if (this.#stop.signal.aborted) process.exit(1);
    setTimeout(() => process.exit(1), STOP_MS - 250).unref();
    this.#stop.abort();
  }

  /** Whether all terminals were hung up: isatty no longer counts such a descriptor as a terminal. */
  #isTerminalGone(): boolean {
    return this.#terminals.length > 0 && !this.#terminals.some((fd) => isatty(fd));
  }
}

/** The descriptors among stdin, stdout and stderr that are terminals. */
function terminals(): number[] {
  return [0, 1, 2].filter((fd) => isatty(fd));
}
