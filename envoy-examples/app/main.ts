/**
 * The app behind each service's Envoy: says which service it is, who called it as its Envoy verified that, and what was
 * asked for.
 *
 * SERVICE and COLOUR name it; it listens on HOST, or 127.0.0.1, and PORT, or 8080.
 */

import { createServer } from 'node:http';
import { callerOf } from './caller.ts';

const {
  SERVICE: service = 'service',
  COLOUR: colour = 'none',
  HOST: host = '127.0.0.1',
  PORT: port = '8080',
} = process.env;

const server = createServer((request, response) => {
  const caller = callerOf(request.headers['x-forwarded-client-cert']);
  response.setHeader('content-type', 'application/json');
  response.end(`${JSON.stringify({ service, colour, caller: caller ?? null, path: request.url })}\n`);
});
// Envoy decides when a connection has idled long enough; if the app closed it first, a request could cross the closing.
server.keepAliveTimeout = 0;

server.listen(Number(port), host, () => console.log(`${service} listens on ${host}:${port}`));

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
