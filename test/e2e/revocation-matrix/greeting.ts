/** A TLS client that only reads, because the server's reset of unread data can discard the alert before it. */

import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import tls from 'node:tls';

/** The first bytes from {@link startGreeter}. */
const GREETING = 'hello';
const TIMEOUT_MS = 10_000;

/** A TCP server that greets, then echoes. @return its port */
export async function startGreeter(t: Pick<TestContext, 'after'>): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.write(GREETING);
    socket.pipe(socket);
  });
  server.listen({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** An accepted connection, after its greeting. */
export interface Greeted {
  readonly outcome: 'ok';
  /** True if the session was resumed. */
  readonly isResumed: boolean;
  /** To resume it. */
  readonly session: Buffer | undefined;
  readonly socket: tls.TLSSocket;
}

/** The server's alert, such as `certificate_revoked`. */
interface Refused {
  readonly outcome: string;
}

/**
 * Connects to a listener of an Envoy that leads to a greeter.
 * @param resumed the session to resume, if any
 * @throws Error if there is neither a greeting nor an alert
 */
export async function connect(
  port: number,
  secureContext: tls.SecureContext,
  resumed?: Buffer,
): Promise<Greeted | Refused> {
  const session = resumed === undefined ? {} : { session: resumed };
  const checkServerIdentity = () => undefined;
  const socket = tls.connect({ host: '127.0.0.1', port, secureContext, checkServerIdentity, ...session });
  let given: Buffer | undefined;
  socket.on('session', (bytes: Buffer) => {
    given = bytes;
  });
  try {
    const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (String(data) !== GREETING) throw new Error(`instead of the greeting came ${data}`);
    return { outcome: 'ok', isResumed: socket.isSessionReused(), session: given, socket };
  } catch (error) {
    socket.destroy();
    const alert = /_ALERT_(\w+)$/.exec((error as NodeJS.ErrnoException).code ?? '')?.[1];
    if (alert === undefined) throw error;
    return { outcome: alert.toLowerCase() };
  }
}

/** Connects, and closes the connection. */
export async function greet(...args: Parameters<typeof connect>): Promise<Omit<Greeted, 'socket'> | Refused> {
  const result = await connect(...args);
  if ('socket' in result) result.socket.destroy();
  return result;
}

/** Sends bytes on an accepted connection and waits for them. @throws Error if the connection is closed */
export async function echo({ socket }: Greeted, text: string): Promise<string> {
  socket.write(text);
  const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(TIMEOUT_MS) });
  return String(data);
}
