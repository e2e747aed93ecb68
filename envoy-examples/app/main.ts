/**
 * The app behind each service's Envoy. It answers with its service's name, the caller's SPIFFE ID and the path.
 *
 * Environment: SERVICE and COLOUR (its names), HOST (default 127.0.0.1) and PORT (default 8080) to listen on.
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
// Envoy closes idle connections. If the app closed them, a request could arrive at the same moment and fail.
server.keepAliveTimeout = 0;

server.listen(Number(port), host, () => console.log(`${service} listens on ${host}:${port}`));

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
