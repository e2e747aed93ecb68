/**
 * To be run as the first process of a pid namespace, as root, with /proc mounted: has a caller connect to a server that
 * does not get to accept it, end, and its pid come back as a process that is entitled; then lets the server go on and
 * whoever holds the connection ask. Prints what came of it, as JSON.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readlinkSync, realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { startCaller } from './caller.ts';
import { until } from './process-state.ts';
import { serve, TRUST_DOMAIN } from './serve.ts';

const NAME = `spiffe://${TRUST_DOMAIN}/trusted`;
const LAST_PID = '/proc/sys/kernel/ns_last_pid';
const TRUSTED = realpathSync('/bin/sleep');
const HOLDER = path.join(import.meta.dirname, 'holder-program.ts');

const steps: (() => unknown)[] = [];
const t = { after: (step: () => unknown) => void steps.push(step) } as never;
try {
  console.log(JSON.stringify(await run()));
} finally {
  for (const step of steps.reverse()) await step();
}

async function run(): Promise<unknown> {
  const server = await serve(t);
  const selectors = ['uid:0', `path:${TRUSTED}`].map((value) => ({ type: 'unix', value }));
  const { status } = await server.request('POST', '/v1/entries', { spiffe_id: NAME, selectors });
  if (status !== 201) throw new Error(`the entry is refused: ${status}`);

  process.kill(server.pid, 'SIGSTOP');
  const caller = startCaller(t);
  await caller.tell('connect', server.socket);
  const file = path.join(server.directory, 'result');
  await caller.tell('share', process.execPath, HOLDER, file, String(caller.pid), NAME, 'inherited', 'changed');
  await until(() => existsSync(`${file}.ready`));
  // The holder looks for another process behind the pid, and so sees either an end or the next one.
  caller.tellLast('exit');
  await caller.ended;
  writeFileSync(LAST_PID, String(caller.pid - 1));
  const trusted = spawn(TRUSTED, ['1000'], { stdio: 'ignore' });
  await once(trusted, 'spawn');
  const runs = readlinkSync(`/proc/${trusted.pid}/exe`);
  process.kill(server.pid, 'SIGCONT');
  await until(() => existsSync(file));
  trusted.kill('SIGKILL');
  return { pid: caller.pid, again: trusted.pid, runs, result: JSON.parse(readFileSync(file, 'utf8')) };
}
