/**
 * A program that says it is a container engine: `SOCKET ID PID` makes it answer that this one container runs, with this main
 * process, whatever it is asked. It prints a line when it listens.
 */

import { chmodSync } from 'node:fs';
import http from 'node:http';

const [socket, id, pid] = process.argv.slice(2) as [string, string, string];
const container = {
  Id: id,
  Name: '/web',
  State: { Running: true, Pid: Number(pid), StartedAt: new Date().toISOString() },
  Image: `sha256:${'1f'.repeat(32)}`,
  Config: { Image: 'envoy:v1', Labels: { app: 'web' }, Env: [] },
  NetworkSettings: { Networks: {} },
};
const server = http.createServer((request, response) => {
  if (request.url!.startsWith('/events?')) response.writeHead(200).flushHeaders();
  else if (request.url!.includes('/top?')) response.end(JSON.stringify({ Titles: ['PID'], Processes: [[pid]] }));
  else response.end(JSON.stringify(container));
});
server.listen(socket, () => {
  chmodSync(socket, 0o777);
  console.log('listening');
});
