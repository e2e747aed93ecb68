/** An HTTPS server that shows the certificate of the leaf that the client's SNI names. */

import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import tls, { type TLSSocket } from 'node:tls';
import type { LeafName, Pki } from './pki.ts';

/** Where the server keeps the connection open after its answer. */
export const KEPT = '/kept';

/** The server's host name as this leaf. */
export function hostOf(leaf: LeafName): string {
  return `${leaf.replaceAll(' ', '-').toLowerCase()}.test`;
}

/** In each answer: `true` if the TLS session was resumed, and the port of the connection's other end. */
export const RESUMED_HEADER = 'x-resumed';
export const PORT_HEADER = 'x-port';

/** @return its port */
export async function startUpstream(t: Pick<TestContext, 'after'>, { leaves, servers: [own] }: Pki): Promise<number> {
  const contexts = new Map(
    Object.entries(leaves).map(([leaf, certified]) => [hostOf(leaf as LeafName), tls.createSecureContext(certified)]),
  );
  const server = createServer({ ...own, SNICallback: (host, give) => give(null, contexts.get(host)) });
  server.on('request', (request, response) => {
    const socket = request.socket as TLSSocket;
    response.setHeader(RESUMED_HEADER, String(socket.isSessionReused()));
    response.setHeader(PORT_HEADER, String(socket.remotePort));
    if (request.url !== KEPT) response.setHeader('connection', 'close');
    response.end();
  });
  server.on('tlsClientError', () => undefined);
  // Envoy's pool keeps a connection for as long as a slow test needs it.
  server.keepAliveTimeout = 0;
  server.listen({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
