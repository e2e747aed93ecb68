/**
 * `npm run demo:hosts`: a server and three hosts with agents and Envoys. It prints a line for each step and runs until Ctrl-C;
 * with `--check` it exits after the steps with status 0 or 1. It starts itself again in a network namespace of its own.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { findEnvoy, NoEnvoy } from '../../scripts/find-envoy.ts';
import { EXAMPLES } from '../demo/bootstraps.ts';
import { bold, say, sayFailure } from '../demo/report.ts';
import { HostsStage } from './stage.ts';
import { showHosts } from './steps.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** The path of Envoy, found before: here is no network to get it from. */
const INSIDE = 'SIDEKEY_DEMO_HOSTS_ENVOY';

const { check } = parseArgs({ options: { check: { type: 'boolean', default: false } } }).values;
const envoy = process.env[INSIDE];
delete process.env[INSIDE];
process.exitCode = envoy === undefined ? await enter() : await play(envoy);
process.exit();

/** Starts this program in a namespace. @returns its exit status */
async function enter(): Promise<number> {
  for (const [program, source] of [
    ['ip', 'iproute2'],
    ['unshare', 'util-linux'],
    ['nsenter', 'util-linux'],
  ] as const) {
    if (spawnSync(program, ['--version']).error === undefined) continue;
    say(`the demo needs ${program}, which is in the package ${source}`);
    return 1;
  }
  const user = process.getuid!() === 0 ? [] : ['--user', '--map-root-user'];
  if (spawnSync('unshare', [...user, '--net', 'true']).status !== 0) {
    say('this user may not make network namespaces here: run it as root');
    return 1;
  }
  try {
    const found = await findEnvoy({ tell: say });
    say(`${bold('A server and three hosts with agents')} (Envoy ${found.version}, ${found.path})`);
    const args = [...user, '--net', process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    const child = spawn('unshare', args, { stdio: 'inherit', env: { ...process.env, [INSIDE]: found.path } });
    for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
    const [code] = (await once(child, 'exit')) as [number | null];
    return code ?? 1;
  } catch (error) {
    if (!(error instanceof NoEnvoy)) throw error;
    say(error.message);
    return 1;
  }
}

async function play(binary: string): Promise<number> {
  const interrupted = new Promise<void>((resolve) => {
    for (const signal of SIGNALS) process.on(signal, () => resolve());
  });
  const stage = await HostsStage.build();
  process.once('exit', () => stage.clear());
  try {
    const begin = performance.now();
    const done = await Promise.race([showHosts(stage, binary).then(() => true), interrupted]);
    if (done !== true) return 130;
    say(`All steps succeeded in ${((performance.now() - begin) / 1000).toFixed(1)} s.`);
    if (check) return 0;
    say(
      `\nThe demo runs until Ctrl-C. The pipes of the hosts:\n${EXAMPLES.map((one) => `  ${stage.pipe(one)}`).join('\n')}`,
    );
    await interrupted;
    return 0;
  } catch (error) {
    sayFailure(error, stage.processes.all());
    return 1;
  } finally {
    await stage.processes.stopAll();
  }
}
