/** What `sidekey fetch --write` and `sidekey helper` load to run; a bundle of its own. */

import { SidekeyError, SystemClock } from '../base/index.ts';
import {
  type FilesPlan,
  filesOf,
  type HealthPlan,
  Keeper,
  type Kind,
  PidFileSignal,
  type Reaction,
  ReloadCommand,
  SupervisedProgram,
  startHealthServer,
  writeOnce,
} from '../svid-files/index.ts';
import { createLog, flushLog, type Log } from '../telemetry/index.ts';
import type { FilesFlags, HelperFlags, LogFlags } from './files-flags.ts';
import { followOf, healthOf, planOf, readDuration, readOwner } from './files-plan.ts';
import { parseGoBoolean } from './go-flags.ts';
import { readHelperConfig } from './helper-config.ts';
import { knownPipe, socketPath } from './pipe.ts';
import { connectWorkloadApi } from './pipe-client.ts';
import { TIMEOUT_MS } from './pipe-failure.ts';

type WriteFlags = FilesFlags & LogFlags & { readonly write: string };

const ALL: readonly Kind[] = ['x509', 'jwt', 'jwt-bundle'];
/** How long a stop may take, in milliseconds; a supervised program gets less. */
const STOP_MS = 10_000;

export interface WrittenIdentity {
  readonly spiffeId: string;
  /** PEM; without intermediates if they are in the bundle file. */
  readonly certificateChain: string;
  /** Names in the directory. */
  readonly files: readonly string[];
}

/** Writes all files once. @throws ERR_CONFIG, ERR_FILES; Error with the server's reason, or with that of the command */
export async function writeFiles(socket: string, flags: WriteFlags): Promise<WrittenIdentity> {
  const plan = planOf(flags);
  const { command } = followOf(flags);
  const limit = flags.wait === undefined ? undefined : readDuration('--wait', flags.wait);
  const part = await writePlan(socket, plan, limit);
  if (command !== undefined) await new ReloadCommand(command.argv, command.limitMs).react(ALL);
  return {
    spiffeId: part!.spiffeId!,
    certificateChain: part!.files[0]!.content,
    files: filesOf(plan).map(({ name }) => name),
  };
}

/** @param limitMs how long it waits for an identity; undefined: the first refusal is final */
async function writePlan(socket: string, plan: FilesPlan, limitMs: number | undefined) {
  const source = connectWorkloadApi(socket);
  try {
    const isPatient = limitMs !== undefined;
    const written = await writeOnce({
      plan,
      source,
      clock: new SystemClock(),
      limitMs: limitMs ?? TIMEOUT_MS,
      isPatient,
    });
    if (written.warning !== undefined) process.stderr.write(`sidekey: warning: ${written.warning}\n`);
    return written.x509;
  } finally {
    source.close();
  }
}

/** Keeps the files up to date until a signal ends it. @throws ERR_CONFIG, ERR_FILES */
export async function watchFiles(socket: string, flags: WriteFlags): Promise<void> {
  const plan = planOf(flags);
  const { command, signal } = followOf(flags);
  const reactions: Reaction[] = [];
  if (command !== undefined) reactions.push(new ReloadCommand(command.argv, command.limitMs));
  if (signal !== undefined) reactions.push(new PidFileSignal(signal.pidFile, signal.name));
  const log = createLog(flags.logLevel, { format: flags.logFormat });
  const follow = reactions.map((reaction) => ({ reaction, kinds: ALL }));
  await keep({ socket, plan, reactions: follow, health: settingOf('--health', healthOf(flags)), log });
}

/**
 * Does what spiffe-helper does with its configuration.
 * @throws ERR_CONFIG, ERR_FILES; Error with the server's reason, if the files are written once
 */
export async function runHelper(flags: HelperFlags): Promise<void> {
  const config = await readHelperConfig(flags.config, readBoolean('--daemon-mode', flags.daemonMode));
  const owner = flags.owner === undefined ? undefined : readOwner('--owner', flags.owner);
  const plan = { ...config.plan, owner };
  const socket = helperPipe(flags.socket, config.agentAddress);
  if (!config.isDaemon) {
    for (const warning of config.warnings) process.stderr.write(`sidekey: warning: ${flags.config}: ${warning}\n`);
    await writePlan(socket, plan, readDuration('--wait', flags.wait));
    return;
  }
  const log = createLog(flags.logLevel, { format: flags.logFormat });
  for (const warning of config.warnings) log.warn(`${flags.config}: ${warning}`);
  // spiffe-helper does nothing after a change of JWTs, so that a configuration of these alone would have no use for cmd.
  const kinds: readonly Kind[] = plan.x509 === undefined ? ALL : ['x509'];
  const { cmd, renewSignal, pidFile, health } = config;
  const reactions: Reaction[] = [];
  if (cmd !== undefined) reactions.push(new SupervisedProgram(cmd, renewSignal, log));
  if (pidFile !== undefined) reactions.push(new PidFileSignal(pidFile, renewSignal!));
  const listen = settingOf(`${flags.config}: health_checks`, health);
  await keep({ socket, plan, reactions: reactions.map((reaction) => ({ reaction, kinds })), health: listen, log });
}

function readBoolean(flag: string, given: boolean | string | undefined): boolean | undefined {
  if (typeof given !== 'string') return given;
  const read = parseGoBoolean(given);
  if (read !== undefined) return read;
  const problem = `${JSON.stringify(given)} is neither true nor false`;
  throw SidekeyError.badInput([{ path: flag, problem, rule: 'give true or false' }], 'ERR_CONFIG');
}

/** The flag, else the file's, else as spiffe-helper or as our other commands find it. */
function helperPipe(flag: string | undefined, address: string | undefined): string {
  const { SPIRE_AGENT_ADDRESS, SPIFFE_ENDPOINT_SOCKET } = process.env;
  if (flag !== undefined) return knownPipe(flag);
  if (address !== undefined) return socketPath('agent_address', address);
  if (SPIRE_AGENT_ADDRESS && !SPIFFE_ENDPOINT_SOCKET) return socketPath('SPIRE_AGENT_ADDRESS', SPIRE_AGENT_ADDRESS);
  return knownPipe(undefined);
}

interface KeepOptions {
  readonly socket: string;
  readonly plan: FilesPlan;
  readonly reactions: readonly { readonly reaction: Reaction; readonly kinds: readonly Kind[] }[];
  readonly health: HealthSetting | undefined;
  readonly log: Log;
}

interface HealthSetting {
  /** The flag, or the place in the configuration. */
  readonly setting: string;
  readonly plan: HealthPlan;
}

function settingOf(setting: string, plan: HealthPlan | undefined): HealthSetting | undefined {
  return plan === undefined ? undefined : { setting, plan };
}

/** Exits with 0 after a signal. @throws ERR_FILES, ERR_CONFIG */
async function keep({ socket, plan, reactions, health, log }: KeepOptions): Promise<void> {
  const source = connectWorkloadApi(socket);
  const keeper = new Keeper({ plan, source, reactions, log, clock: new SystemClock() });
  const server = health === undefined ? undefined : await serveHealth(health, keeper);
  const stopped = stopSignal();
  keeper.start();
  log.info({ directory: plan.directory, socket, ...(server && { health_port: server.port }) }, 'keeping files');
  const signal = await stopped;
  log.info(`stopping: ${signal}`);
  await Promise.all([keeper.close(), server?.close()]);
  source.close();
  await flushLog();
  process.exit(0);
}

/** @throws ERR_CONFIG if it can't listen there */
async function serveHealth({ setting, plan }: HealthSetting, keeper: Keeper) {
  try {
    return await startHealthServer(plan, () => keeper.health());
  } catch (thrown) {
    await keeper.close();
    const { host, port } = plan;
    const place = host === undefined ? `port ${port}` : `${host}:${port}`;
    const problem = `cannot listen on ${place}: ${(thrown as Error).message}`;
    const rule = 'give an address of this host and a free port';
    throw SidekeyError.badInput([{ path: setting, problem, rule }], 'ERR_CONFIG');
  }
}

/** Resolves at the first signal that ends a program; until then it keeps the process alive. A second one ends it at once. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const alive = setInterval(() => undefined, 60_000);
    let isStopping = false;
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (isStopping) process.exit(1);
        isStopping = true;
        setTimeout(() => process.exit(1), STOP_MS).unref();
        clearInterval(alive);
        resolve(signal);
      });
    }
  });
}
