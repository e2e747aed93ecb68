/**
 * To be run as the first process of a pid namespace, as root, with /proc mounted: a pipe that pins callers by their pids is
 * connected to by a process that ends before it is accepted, and whose pid another user's has by then; and by a process
 * that lives. Prints who was accepted and what the log says, as JSON.
 */

import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { startPipe } from './pipe.ts';
import { recordingLog } from './recording-log.ts';

const steps: (() => unknown)[] = [];
const t = { after: (step: () => unknown) => void steps.push(step) } as never;
try {
  console.log(JSON.stringify(await run()));
} finally {
  for (const step of steps.reverse()) await step();
}

async function run(): Promise<unknown> {
  const { log, lines } = recordingLog();
  const pipe = await startPipe(t, { log, pinByPid: true });
  // Nothing is accepted until this function waits.
  const code = `require('node:net').connect(${JSON.stringify(pipe.path)}, () => process.exit(0))`;
  const { pid } = spawnSync(process.execPath, ['-e', code], { stdio: 'ignore' });
  writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
  const victim = spawn('/bin/sleep', ['1000'], { uid: 12_001, gid: 12_001, stdio: 'ignore' });
  const client = net.connect(pipe.path);
  steps.push(() => {
    client.destroy();
    victim.kill('SIGKILL');
  });
  const { peer } = await pipe.next();
  const shown = lines.filter(({ level }) => Number(level) > 20).map(({ time: _, ...line }) => line);
  return { pid, again: victim.pid, accepted: [peer.credentials.pid], last: process.pid, lines: shown };
}
