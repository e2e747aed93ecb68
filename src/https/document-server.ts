/** A server of a few documents for anybody on the network: no route of the admin API, no body is read, few headers. */

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, isLoopback, NewestConnections, SidekeyError } from '../base/index.ts';
import { type Log, Rarely } from '../telemetry/index.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The answer to a request: its method, and its target as it was sent. */
export type Answers = (method: string, url: string) => Answer;

/** What gives a server its certificate. */
export interface ServerTls {
  createServer(options: ServerOptions, listener: RequestListener): Server;
}

export interface DocumentServerOptions {
  /** Such as `OIDC discovery`, for the log. */
  readonly name: string;
  /** The flag of the setting `listen`. */
  readonly flag: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** Undefined: clear text, on a loopback address only. */
  readonly tls: ServerTls | undefined;
  /** What to do about an address that needs TLS. */
  readonly tlsRule: string;
  readonly answers: Answers;
  /** The oldest connections are closed beyond this number. */
  readonly maxConnections: number;
  /** Called for each connection that is closed for another one. */
  readonly onCrowded?: () => void;
  /** Called for each TLS handshake that fails. */
  readonly onTlsFailure?: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface DocumentServer {
  readonly address: AddressInfo;
  /** Closes the connections without a running request, so that clients come back with a new handshake. */
  closeIdle(): void;
  close(): Promise<void>;
}

/** As on the admin API, in milliseconds. */
const TIMEOUTS = { headersTimeout: 5_000, requestTimeout: 10_000, connectionsCheckingInterval: 1_000 } as const;
/** A client that does not read its answer is cut after this time, in milliseconds. */
const IDLE_MS = 30_000;
/** A request has no body that is read, and few headers. */
const MAX_HEADER_BYTES = 8 * 1024;
const CROWDED_LOG_MS = 10_000;

/** Listens. @throws ERR_CONFIG if the address needs TLS; ERR_SOCKET */
export async function startDocumentServer(options: DocumentServerOptions): Promise<DocumentServer> {
  const { listen, tls, answers, onTlsFailure } = options;
  const host = await addressOf(options);
  const limits = { ...TIMEOUTS, maxHeaderSize: MAX_HEADER_BYTES };
  const listener = listenerOf(answers);
  const server = tls === undefined ? createServer(limits, listener) : tls.createServer(limits, listener);
  server.setTimeout(IDLE_MS);
  if (onTlsFailure !== undefined) server.on('tlsClientError', onTlsFailure);
  const connections = limitConnections(server, options);
  server.listen({ host, port: listen.port });
  await once(server, 'listening').catch((error: unknown) => Promise.reject(socketError(options, error)));
  return {
    address: server.address() as AddressInfo,
    closeIdle: () => server.closeIdleConnections(),
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      connections.closeAll();
      await closed;
    },
  };
}

function listenerOf(answers: Answers): RequestListener {
  return (request, response) => {
    const { status, headers, body } = answers(request.method ?? '', request.url ?? '');
    // A body of the request is not read: the connection ends with the answer.
    const hasBody =
      request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
    const end = hasBody ? { connection: 'close' } : {};
    response.writeHead(status, { ...headers, ...end, 'content-length': Buffer.byteLength(body) });
    response.end(request.method === 'HEAD' ? '' : body);
    if (hasBody) response.once('finish', () => request.socket.destroySoon());
  };
}

function limitConnections(server: Server, options: DocumentServerOptions): NewestConnections {
  const { name, maxConnections, onCrowded, clock, log } = options;
  const lines = new Rarely(clock, CROWDED_LOG_MS);
  return new NewestConnections(server, maxConnections, () => {
    onCrowded?.();
    if (lines.mayTell() === undefined) return;
    log.warn({ limit: maxConnections }, `connections to ${name} reached the limit: the oldest ones are closed`);
  });
}

/** The address to listen on. The name is resolved only once, so that the checked address is the one that is used. */
async function addressOf(options: DocumentServerOptions): Promise<string> {
  const { host } = options.listen;
  const { address } = await lookup(host).catch((error: unknown) => Promise.reject(socketError(options, error)));
  if (options.tls !== undefined || isLoopback(address)) return address;
  const what = `${host} is not a loopback address, and there is no TLS certificate`;
  throw SidekeyError.badInput([{ path: options.flag, problem: what, rule: options.tlsRule }], 'ERR_CONFIG');
}

function socketError({ flag, listen: { host, port } }: DocumentServerOptions, cause: unknown): SidekeyError {
  return new SidekeyError('ERR_SOCKET', `${flag} ${host}:${port}: ${(cause as Error).message}`, { cause });
}
