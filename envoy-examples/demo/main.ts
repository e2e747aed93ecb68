/**
 * `npm run demo`: three Envoys get their identities from a Sidekey of their own and talk mTLS, on loopback, without root.
 * It shows that line by line and stays up; with `--check` it stops after that, with status 0 or 1.
 */

import path from 'node:path';
import { parseArgs } from 'node:util';
import { findEnvoy, NoEnvoy } from '../../scripts/find-envoy.ts';
import { bold, say, sayFailure } from './report.ts';
import { buildStage, type Stage } from './stage.ts';
import { showChanges } from './steps/changes.ts';
import { showRefusals } from './steps/refusals.ts';
import { frontUrl, showRequests } from './steps/requests.ts';
import { start } from './steps/start.ts';

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
type Signal = keyof typeof SIGNALS;

const { check } = parseArgs({ options: { check: { type: 'boolean', default: false } } }).values;
const interruption = new AbortController();
const interrupted = new Promise<Signal>((resolve) => {
  for (const signal of Object.keys(SIGNALS) as Signal[]) {
    process.once(signal, () => {
      interruption.abort(signal);
      resolve(signal);
    });
  }
});
process.exitCode = await main();
process.exit();

/** Returns the exit status. */
async function main(): Promise<number> {
  const stage = await buildStage();
  process.once('exit', () => stage.clear());
  try {
    const signal = await Promise.race([show(stage), interrupted]);
    if (signal !== undefined) return 128 + SIGNALS[signal];
    if (!check) await stayUp(stage);
    return 0;
  } catch (error) {
    if (error instanceof NoEnvoy) say(error.message);
    else sayFailure(error, stage.processes.all());
    return 1;
  } finally {
    await stage.processes.stopAll();
  }
}

async function show(stage: Stage): Promise<void> {
  const begin = performance.now();
  const envoy = await findEnvoy({ tell: say, signal: interruption.signal });
  say(`${bold('Three Envoys and one Sidekey')} (Envoy ${envoy.version}, ${envoy.path})`);
  await start(stage, envoy.path);
  await showRequests(stage);
  await showRefusals(stage, envoy.path);
  await showChanges(stage);
  say(`All of it works: ${((performance.now() - begin) / 1000).toFixed(1)} s.`);
}

/** Until somebody ends it. @throws Error when one of the processes ends by itself */
async function stayUp(stage: Stage): Promise<void> {
  const sidekey = path.relative(process.cwd(), path.join(import.meta.dirname, '../../bin/sidekey'));
  const lines = [
    `curl --cacert ${stage.certificateFile} ${frontUrl(stage, '/service/purple')}`,
    `curl http://127.0.0.1:${stage.ports['service-purple'].admin}/certs   # what service-purple holds, by Envoy's word`,
    `export SIDEKEY_ADMIN_SOCKET=${stage.adminSocket}`,
    `${sidekey} entry list`,
    `${sidekey} entry show service-purple`,
    `tail -f ${path.join(stage.folder, 'logs/sidekey.log')}`,
  ];
  say(`\nIt stays up until Ctrl-C. To try next:\n\n${lines.map((line) => `  ${line}`).join('\n')}\n`);
  const ended = stage.processes.anyEnded().then((name) => {
    throw new Error(`${name} ended by itself`);
  });
  await Promise.race([interrupted, ended]);
}
