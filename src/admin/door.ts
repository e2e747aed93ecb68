/**
 * One listener of the admin API: an HTTP server that knows its callers and has a maximum of connections. When one
 * more comes, the oldest connection without an authorized request is closed.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Clock, type ErrorCode, SidekeyError, UnderTls } from '../base/index.ts';
import type { ServerTls } from '../https/index.ts';
import { type Counters, type Log, Rarely } from '../telemetry/index.ts';
import type { AdminCaller } from './access.ts';
import { endWithProblem, rawProblem } from './problem.ts';

export interface DoorOptions {
  /** The door's name in the log. */
  readonly name: string;
  /** May throw: then the request is refused. */
  readonly callerOf: (socket: Socket) => AdminCaller;
  readonly handle: (request: IncomingMessage, response: ServerResponse, caller: AdminCaller) => void;
  readonly maxConnections: number;
  /** Undefined: clear text. */
  readonly tls?: ServerTls | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
}

export interface Door {
  readonly server: Server;
  /** Marks a connection as authorized, so that the maximum does not close it; no effect on a connection of another door. */
  admit(socket: Socket): void;
  /** Stops listening, gives running requests a second to end, then closes the remaining connections. */
  close(): Promise<void>;
}

const CLOSE_GRACE_MS = 1_000;

/**
 * Time limits for the headers of a request (counted from the connection for its first request) and for the whole
 * request, in milliseconds, and the interval of the checks.
 */
const TIMEOUTS = { headersTimeout: 5_000, requestTimeout: 30_000, connectionsCheckingInterval: 1_000 } as const;

/** Interval of log lines about closed connections, in milliseconds. */
const CROWDED_LOG_MS = 10_000;

/** Interval of log lines about clients of other protocols, in milliseconds. */
const OTHER_LOG_MS = 10_000;

interface Protocol {
  readonly name: string;
  readonly sentence: string;
}

/** Another protocol that a client begins to speak; undefined for HTTP/1. */
function protocolOf(packet: Buffer | undefined): Protocol | undefined {
  // The record type of a handshake, and the major version (RFC 8446, section 5.1).
  if (packet?.[0] === 0x16 && packet[1] === 0x03) {
    return { name: 'TLS', sentence: 'a client began with TLS, but the admin API uses clear text: use an http:// URL' };
  }
  if (packet?.subarray(0, 3).toString('latin1') === 'PRI') {
    return {
      name: 'HTTP/2',
      sentence:
        "a client began with HTTP/2, but the admin API uses HTTP/1.1: an Envoy or gRPC client has to use the pipe (the server's --socket)",
    };
  }
  return undefined;
}

/** Answers a request that Node could not read. @see https://nodejs.org/api/http.html#event-clienterror */
function answerBadRequest(error: NodeJS.ErrnoException, socket: Socket, sentence: string | undefined): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const [code, fallback] = REASONS[error.code ?? ''] ?? ['ERR_BAD_REQUEST', 'this is not an HTTP/1.1 request'];
  socket.write(rawProblem(new SidekeyError(code, sentence ?? fallback)));
  // A client that never closes its side must not keep the connection.
  socket.destroySoon();
}

const REASONS: Readonly<Record<string, readonly [code: ErrorCode, sentence: string]>> = {
  HPE_HEADER_OVERFLOW: ['ERR_HEADERS_TOO_LARGE', 'the headers of this request have more than 16 KiB'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['ERR_TOO_LARGE', 'the chunk extensions of this body have more than 16 KiB'],
  ERR_HTTP_REQUEST_TIMEOUT: [
    'ERR_REQUEST_TIMEOUT',
    'the request did not arrive in time: its headers have to within 5 s, all of it within 30 s',
  ],
};

export function createDoor(options: DoorOptions): Door {
  const { clock, maxConnections, tls } = options;
  const known = new WeakMap<Socket, AdminCaller>();
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    let caller = known.get(socket);
    try {
      caller ??= options.callerOf(socket);
      known.set(socket, caller);
    } catch (thrown) {
      const message = 'the kernel does not say which process is calling';
      endWithProblem(response, new SidekeyError('ERR_FORBIDDEN', message, { cause: thrown }));
      return;
    }
    options.handle(request, response, caller);
  };
  const server = tls === undefined ? createServer(TIMEOUTS, answer) : tls.createServer(TIMEOUTS, answer);
  const underTls = tls === undefined ? undefined : new UnderTls(server);
  const otherLines = new Rarely(clock, OTHER_LOG_MS);
  server.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket) => {
    if (underTls?.isOpening(socket as Socket) === true) {
      socket.destroy();
      if (error.code === 'ERR_SSL_HTTP_REQUEST' && otherLines.mayTell() !== undefined) {
        options.log.warn(`admin API on ${options.name}: a client began with clear text: use an https:// URL`);
      }
      return;
    }
    const protocol = protocolOf(error.rawPacket);
    if (protocol !== undefined && otherLines.mayTell() !== undefined) {
      options.log.warn({ protocol: protocol.name }, `admin API on ${options.name}: ${protocol.sentence}`);
    }
    answerBadRequest(error, socket as Socket, protocol?.sentence);
  });
  /** Unauthorized connections, oldest first. */
  const strangers = new Set<Socket>();
  const admitted = new Set<Socket>();
  let cut = 0;
  const crowdedLines = new Rarely(clock, CROWDED_LOG_MS);
  server.prependListener('connection', (socket) => {
    strangers.add(socket);
    socket.once('close', () => {
      strangers.delete(socket);
      admitted.delete(socket);
    });
    if (strangers.size + admitted.size > maxConnections) makeRoom();
  });
  let closed: Promise<void> | undefined;
  server.on('listening', () => {
    closed = new Promise((resolve) => server.once('close', resolve));
  });
  return {
    server,
    admit: (given) => {
      const socket = underTls?.connectionOf(given) ?? given;
      if (strangers.delete(socket)) admitted.add(socket);
    },
    close: async () => {
      if (server.listening) server.close();
      const cutAll = clock.after(CLOSE_GRACE_MS, () => {
        // The server itself does not know those whose TLS handshake has not ended.
        for (const socket of [...strangers, ...admitted]) socket.destroy();
      });
      await closed;
      cutAll.cancel();
    },
  };

  /** Closes the oldest unauthorized connection: the new one, which is unauthorized too, if all others are authorized. */
  function makeRoom(): void {
    const [oldest] = strangers;
    if (oldest === undefined) return;
    strangers.delete(oldest);
    oldest.destroy();
    cut += 1;
    options.counters.limits.add('adminMaxConnections');
    if (crowdedLines.mayTell() === undefined) return;
    options.log.warn(
      { cut, limit: maxConnections, admitted: admitted.size },
      `connections to the admin API on ${options.name} reached adminMaxConnections: the oldest ones without an authorized request are closed`,
    );
  }
}
