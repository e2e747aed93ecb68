/**
 * `npm run example:postgres`: a client calls an API through two Envoys, and the API logs in to a PostgreSQL with its SVID.
 * It runs until Ctrl-C; with `--check` it exits after the steps with status 0 or 1.
 */

import { parseArgs } from 'node:util';
import { expect, Unexpected, wait } from '../../envoy-examples/demo/expect.ts';
import { type Answer, call } from '../../envoy-examples/demo/http.ts';
import { bold, say, sayFailure, step } from '../../envoy-examples/demo/report.ts';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import { findPostgres } from './database.ts';
import { Stage, selectorOf, WORKLOADS, type Workload } from './stage.ts';

const { check } = parseArgs({ options: { check: { type: 'boolean', default: false } } }).values;
const interrupted = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => resolve());
});
process.exitCode = await main();
process.exit();

/** @returns the exit status */
async function main(): Promise<number> {
  const programs = findPostgres();
  if (programs === undefined) {
    say(
      'There is no PostgreSQL here. On Debian: apt-get install postgresql; or give the folder of its programs as PG_BIN.',
    );
    return 1;
  }
  const envoy = await findEnvoy({ tell: say });
  const stage = await Stage.build(programs);
  process.once('exit', () => stage.clear());
  const lost = stage.processes.lost.then((name) => {
    throw new Unexpected('all processes to keep running', `${name} ended`);
  });
  try {
    say(bold(`PostgreSQL, an API and two Envoys with one Sidekey (${stage.folder})`));
    await Promise.race([show(stage, envoy.path), lost, interrupted]);
    if (!check) {
      say(`\nIt runs until Ctrl-C. Try: curl -i ${stage.url}`);
      await Promise.race([interrupted, lost]);
    }
    return 0;
  } catch (error) {
    sayFailure(error, stage.processes.all());
    return 1;
  } finally {
    await stage.processes.stopAll();
  }
}

async function show(stage: Stage, envoy: string): Promise<void> {
  await step('Sidekey serves, with four entries', async () => {
    await Promise.all([stage.sidekey.start(), stage.database.create(), stage.placePrograms(envoy)]);
    const answer = await stage.sidekey.ask('POST', '/v1/entries', {
      entries: WORKLOADS.map((name) => stage.entry(name)),
    });
    expect(answer.status === 201, 'POST /v1/entries to give 201', answer.body);
    return { detail: WORKLOADS.join(', ') };
  });
  await step('PostgreSQL has a certificate, and starts', async () => {
    await Promise.all([stage.startDatabaseHelper(), stage.startApi(), stage.startEnvoys()]);
    await stage.helperWrote('certs');
    await stage.database.start(stage.processes);
    await stage.database.fill();
    return { detail: 'hostssl … cert: who logs in needs an SVID' };
  });
  await step('the client gets the customers', async () => ({ detail: await answers(stage, 200, 'Ada') }));
  await step('PostgreSQL takes up a new certificate', () => renew(stage));
  await step('another DNS name is another user: 500', async () => {
    await change(stage, 'api-helper', { dns_names: ['otheruser'] });
    return { detail: await answers(stage, 500, 'certificate authentication failed') };
  });
  await step('the former DNS name: 200', async () => {
    await change(stage, 'api-helper', { dns_names: stage.entry('api-helper').dns_names });
    return { detail: await answers(stage, 200, 'Ada') };
  });
  await step("another selector: 503 once the Envoy's SVID has ended", async () => {
    await change(stage, 'api-proxy', {
      selectors: [`unix:uid:${process.getuid!()}`, 'unix:path:/nowhere/else'].map(selectorOf),
    });
    return { detail: await answers(stage, 503, '') };
  });
  await step('the former selector: 200', async () => {
    await change(stage, 'api-proxy', { selectors: stage.entry('api-proxy').selectors });
    return { detail: await answers(stage, 200, 'Ada') };
  });
}

/** Asks through both Envoys until the answer is this. */
async function answers(stage: Stage, status: number, text: string): Promise<string> {
  const isIt = (answer: Answer) => answer.status === status && answer.body.includes(text);
  const { body } = await wait(`${stage.url} to give ${status} ${text}`, { look: () => call(stage.url), until: isIt });
  return `${status} ${body.trim().slice(0, 120)}`;
}

async function change(stage: Stage, entry: Workload, changes: object): Promise<void> {
  const { status, body } = await stage.sidekey.ask('PATCH', `/v1/entries/${entry}`, changes);
  expect(status === 200, `PATCH of ${entry} to give 200`, body);
}

/** The change of the entry gives the helper another SVID at once, and its signal gives it to PostgreSQL. */
async function renew(stage: Stage) {
  const { serialNumber } = await stage.database.certificate();
  await change(stage, 'postgres-helper', { dns_names: ['localhost', 'db.ilinux.io'] });
  const renewed = await wait('PostgreSQL to show another certificate', {
    look: () => stage.database.certificate(),
    until: (now) => now.serialNumber !== serialNumber && now.subjectAltName!.includes('db.ilinux.io'),
  });
  await answers(stage, 200, 'Ada');
  return { detail: `${renewed.subjectAltName}, without a restart` };
}
