/** A way into the application: an HTTP server that knows who is at its other end. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import type { Caller } from './access.ts';
import { endWithProblem } from './problem.ts';

export interface Door {
  readonly server: Server;
  /** Stops listening, lets running requests end for a second, then cuts what is left. */
  close(): Promise<void>;
}

const CLOSE_GRACE_MS = 1_000;

/** `callerOf` is asked once a connection. It may throw: then nobody gets in. */
export function createDoor(
  callerOf: (socket: Socket) => Caller,
  handle: (request: IncomingMessage, response: ServerResponse, caller: Caller) => void,
  clock: Clock,
): Door {
  const known = new WeakMap<Socket, Caller>();
  const server = createServer((request, response) => {
    const { socket } = request;
    let caller = known.get(socket);
    try {
      caller ??= callerOf(socket);
      known.set(socket, caller);
    } catch (thrown) {
      const message = 'the kernel does not say who is calling';
      endWithProblem(response, new SidekeyError('ERR_FORBIDDEN', message, { cause: thrown }));
      return;
    }
    handle(request, response, caller);
  });
  let closed: Promise<void> | undefined;
  server.on('listening', () => {
    closed = new Promise((resolve) => server.once('close', resolve));
  });
  return {
    server,
    close: async () => {
      if (server.listening) server.close();
      const cut = clock.after(CLOSE_GRACE_MS, () => server.closeAllConnections());
      await closed;
      cut.cancel();
    },
  };
}
