/**
 * `npm run demo`: three Envoys get their identities from a Sidekey and use mTLS, on loopback, without root. It prints a line
 * for each step and runs until Ctrl-C; with `--check` it exits after the steps with status 0 or 1.
 */

import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Envoy, findEnvoy, NoEnvoy } from '../../scripts/find-envoy.ts';
import { Unexpected } from './expect.ts';
import { bold, hush, say, sayFailure } from './report.ts';
import { buildStage, type Stage } from './stage.ts';
import { showChanges } from './steps/changes.ts';
import { showRefusals } from './steps/refusals.ts';
import { frontUrl, showRequests } from './steps/requests.ts';
import { showRevocation } from './steps/revocation.ts';
import { start } from './steps/start.ts';

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
type Signal = keyof typeof SIGNALS;

const USAGE = `usage: npm run demo [-- --check]

Three Envoys get their identities from a Sidekey and use mTLS on loopback. The demo runs until Ctrl-C.
  --check  exit after the last step, with status 0 or 1`;

const check = readFlags();
const interruption = new AbortController();
const interrupted = new Promise<Signal>((resolve) => {
  for (const signal of Object.keys(SIGNALS) as Signal[]) {
    // The signal may come twice, from the terminal and from npm. The second one has no effect.
    process.on(signal, () => {
      interruption.abort();
      resolve(signal);
    });
  }
});
process.exitCode = await main();
process.exit();

function readFlags(): boolean {
  try {
    const options = { check: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } } as const;
    const { check, help } = parseArgs({ options }).values;
    if (help !== true) return check;
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}

/** @returns the exit status */
async function main(): Promise<number> {
  try {
    const envoy = await findEnvoy({ tell: say, signal: interruption.signal });
    say(`${bold('Three Envoys and one Sidekey')} (Envoy ${envoy.version}, ${envoy.path})`);
    return await play(await buildStage(), envoy);
  } catch (error) {
    if (interruption.signal.aborted) return 128 + SIGNALS[await interrupted];
    if (!(error instanceof NoEnvoy)) throw error;
    say(error.message);
    return 1;
  }
}

async function play(stage: Stage, envoy: Envoy): Promise<number> {
  process.once('exit', () => stage.clear());
  const lost = stage.processes.lost.then((name) => {
    throw new Unexpected('all processes to keep running', `${name} ended unexpectedly`);
  });
  try {
    const signal = await Promise.race([show(stage, envoy), interrupted, lost]);
    if (signal !== undefined) return 128 + SIGNALS[signal];
    if (check) return 0;
    sayWhatToTry(stage);
    await Promise.race([interrupted, lost]);
    return 0;
  } catch (error) {
    sayFailure(error, stage.processes.all());
    return 1;
  } finally {
    hush();
    await stage.processes.stopAll();
  }
}

async function show(stage: Stage, envoy: Envoy): Promise<void> {
  const begin = performance.now();
  await start(stage, envoy.path);
  await showRequests(stage);
  await showRefusals(stage, envoy.path);
  await showChanges(stage);
  await showRevocation(stage);
  say(`All steps succeeded in ${((performance.now() - begin) / 1000).toFixed(1)} s.`);
}

function sayWhatToTry(stage: Stage): void {
  const sidekey = path.relative(process.cwd(), path.join(import.meta.dirname, '../../bin/sidekey'));
  const lines = [
    `curl --cacert ${stage.certificateFile} ${frontUrl(stage, '/service/purple')}`,
    `curl http://127.0.0.1:${stage.ports['service-purple'].admin}/certs   # the certificates of service-purple`,
    `export SIDEKEY_DATA_DIR=${stage.dataDir}   # in a terminal of its own: later commands there use it too`,
    `${sidekey} page   # all of it live in a browser: open the link that it prints`,
    `${sidekey} proxies   # what each Envoy asked for and received`,
    `${sidekey} explain --pid ${stage.envoys['service-gray'].pid} --spiffe-id spiffe://ilinux.io/service-gray   # why a process has this identity, or not`,
    `${sidekey} doctor   # faults of the server and its host`,
    `${sidekey} entry list`,
    `${sidekey} entry update service-purple --x509-svid-ttl 10s   # then watch the certificates change`,
    `tail -f ${path.join(stage.folder, 'logs/sidekey.log')}`,
  ];
  say(`\nThe demo runs until Ctrl-C. Things to try:\n\n${lines.map((line) => `  ${line}`).join('\n')}\n`);
}
