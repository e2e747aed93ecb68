/**
 * Forwards a port of loopback to the admin socket, for the page. Any user of the host may connect to the port, so nothing
 * that comes this way has the rights of the socket: each request is made anew from a list of headers and marked, and the
 * server then wants a session of it. Nothing is passed on unread.
 */

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface Forwarder {
  readonly port: number;
  /** Resolves when the port is closed. */
  close(): Promise<void>;
}

export interface ForwarderOptions {
  readonly socketPath: string;
  /** The only host that requests may name, without the port. */
  readonly hostName: string;
  /** 0: any free port. */
  readonly port: number;
}

/** With it the server takes the rights of the socket away from a request (`src/admin/page/session-access.ts`). */
const VIA = { 'sidekey-via': 'page' };

/** The headers that are passed on. A request that has one of them twice is refused. */
const PASSED = [
  'accept',
  'accept-encoding',
  'accept-language',
  'content-type',
  'content-length',
  'cookie',
  'if-match',
  'last-event-id',
  'origin',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'user-agent',
  'x-sidekey-csrf',
] as const;
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
/** Headers that belong to one connection (RFC 9110, section 7.6.1). */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'trailer',
]);

/** Maximum of connections: then the oldest one without an answered request of a session is closed. */
const MAX_CONNECTIONS = 64;
const TIMEOUTS = { headersTimeout: 5_000, requestTimeout: 30_000, connectionsCheckingInterval: 1_000 } as const;

/** @throws Error with the code of the system if the port can't be had */
export async function openForwarder({ socketPath, hostName, port }: ForwarderOptions): Promise<Forwarder> {
  const strangers = new Set<Socket>();
  const known = new Set<Socket>();
  let host = '';
  const server = createServer({ ...TIMEOUTS, insecureHTTPParser: false }, (asked, answer) => {
    const problem = whyRefused(asked, host);
    if (problem !== undefined) return refuse(answer, ...problem);
    forward(asked, answer, { socketPath, host }, () => {
      if (strangers.delete(asked.socket)) known.add(asked.socket);
    });
  });
  server.on('connection', (socket: Socket) => {
    strangers.add(socket);
    socket.once('close', () => {
      strangers.delete(socket);
      known.delete(socket);
    });
    if (strangers.size + known.size <= MAX_CONNECTIONS) return;
    const [oldest] = strangers;
    oldest!.destroy();
  });
  // Without these, Node would leave such a connection to itself.
  server.on('connect', (_request, socket) => socket.destroy());
  server.on('upgrade', (_request, socket) => socket.destroy());
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen({ host: '127.0.0.1', port, exclusive: true }, resolve);
  });
  const { port: given } = server.address() as AddressInfo;
  host = `${hostName}:${given}`;
  return {
    port: given,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

type Refusal = readonly [status: number, code: string, detail: string];

function whyRefused(
  { method = '', url = '', rawHeaders, httpVersion }: IncomingMessage,
  host: string,
): Refusal | undefined {
  const hosts = valuesOf(rawHeaders, 'host');
  if (hosts.length !== 1 || hosts[0]!.toLowerCase() !== host) {
    return [403, 'ERR_FORBIDDEN_HOST', 'this is not the host of the page: open the link that sidekey page has printed'];
  }
  if (httpVersion !== '1.1' || !url.startsWith('/'))
    return [400, 'ERR_BAD_REQUEST', 'this is not a request of a browser'];
  if (!METHODS.has(method)) return [405, 'ERR_METHOD_NOT_ALLOWED', `the page makes no ${method} requests`];
  const twice = PASSED.find((name) => valuesOf(rawHeaders, name).length > 1);
  return twice === undefined ? undefined : [400, 'ERR_BAD_REQUEST', `the header ${twice} is given more than once`];
}

function forward(
  asked: IncomingMessage,
  answer: ServerResponse,
  { socketPath, host }: { readonly socketPath: string; readonly host: string },
  admitted: () => void,
): void {
  const { method, url: path, rawHeaders, headers } = asked;
  const passed = PASSED.flatMap((name) => valuesOf(rawHeaders, name).map((value) => [name, value] as const));
  const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
  const isChunked = hasBody && headers['content-length'] === undefined;
  const outgoing = request({
    ...{ socketPath, method, path, agent: false, setHost: false },
    headers: {
      ...Object.fromEntries(passed),
      ...(isChunked ? { 'transfer-encoding': 'chunked' } : {}),
      ...{ host, connection: 'close', ...VIA },
    },
  });
  outgoing.on('response', (response) => {
    const { statusCode = 502, rawHeaders: given } = response;
    if (statusCode < 400 && path!.startsWith('/v1/')) admitted();
    const kept: string[] = [];
    for (let at = 0; at < given.length; at += 2) {
      if (!HOP_BY_HOP.has(given[at]!.toLowerCase())) kept.push(given[at]!, given[at + 1]!);
    }
    answer.writeHead(statusCode, kept);
    answer.flushHeaders();
    response.on('error', () => answer.destroy());
    response.pipe(answer);
  });
  outgoing.on('error', () => {
    if (answer.headersSent) answer.destroy();
    else refuse(answer, 502, 'ERR_UNREACHABLE', 'the server does not answer on its admin socket: does it run?');
  });
  answer.on('close', () => outgoing.destroy());
  // A body that ends too early must not look whole to the server.
  asked.on('aborted', () => outgoing.destroy());
  if (hasBody) asked.pipe(outgoing);
  else outgoing.end();
}

function refuse(answer: ServerResponse, status: number, code: string, detail: string): void {
  const body = JSON.stringify({
    type: `urn:sidekey:error:${code}`,
    title: 'Refused by sidekey page',
    status,
    detail,
    code,
  });
  answer.writeHead(status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'x-content-type-options': 'nosniff',
    // The rest of the request is not read.
    connection: 'close',
  });
  answer.end(body);
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]!.toLowerCase() === name) values.push(rawHeaders[at + 1]!);
  }
  return values;
}
