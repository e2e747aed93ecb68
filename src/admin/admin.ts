/** The admin API: one application behind two listeners ("doors"), the Unix socket and optionally TCP. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { SidekeyError } from '../base/index.ts';
import type { AdminCaller } from './access.ts';
import type { AppOptions } from './app.ts';
import { createDoor } from './door.ts';
import type { EventSources } from './events.ts';
import { endWithProblem } from './problem.ts';

export interface AdminOptions
  extends Omit<AppOptions, 'callerOf' | 'eventReaders' | 'admit'>,
    Pick<EventSources, 'onIssued'> {
  readonly ledger: AppOptions['ledger'] & EventSources['ledger'];
  /** The process that opened a connection to the Unix socket, as the kernel reports it; called once per connection. */
  readonly unixCaller: (socket: Socket) => Omit<Extract<AdminCaller, { via: 'unix' }>, 'via'>;
  /** Maximum of connections on each door. */
  readonly maxConnections: number;
}

export interface Admin {
  /** The server for the Unix socket; accepts its owner and root. */
  readonly unix: Server;
  /** The server for TCP; requires a known Host and the token. */
  readonly tcp: Server;
  /** Loads the application, so that the first request need not wait for it. Later calls wait for the same load. */
  load(): Promise<void>;
  /** Ends event streams on TCP, whose token is no longer valid. Other requests present their token each time. */
  tokenChanged(): Promise<void>;
  /** Stops listening, gives running requests a second to end, then closes the remaining connections. */
  close(): Promise<void>;
}

interface App {
  handle(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
  /** Ends readers of events, which would keep the doors open. */
  endEvents(): void;
  /** Ends event streams on TCP. */
  endTcpEvents(): void;
}

/**
 * Makes the doors; the caller makes them listen. Fastify and the routes are loaded later, because loading them slows a
 * start.
 */
export function createAdmin(options: AdminOptions): Admin {
  const callers = new WeakMap<IncomingMessage, AdminCaller>();
  let app: Promise<App> | undefined;
  const appNow = () => {
    const admit = ({ socket }: IncomingMessage) => {
      unix.admit(socket);
      tcp.admit(socket);
    };
    app ??= loadApp({ ...options, admit }, (request) => callers.get(request)).catch((thrown: unknown) => {
      // The cause of the failure may be gone at the next request.
      app = undefined;
      throw thrown;
    });
    return app;
  };
  const loaded = () => app?.catch(() => undefined);
  const handle = async (request: IncomingMessage, response: ServerResponse, caller: AdminCaller) => {
    callers.set(request, caller);
    try {
      (await appNow()).handle(request, response);
    } catch (thrown) {
      options.log.error({ err: thrown }, 'admin request failed');
      endWithProblem(response, SidekeyError.from(thrown));
    }
  };
  const unix = createDoor({
    ...options,
    name: 'its Unix socket',
    callerOf: (socket) => ({ via: 'unix', ...options.unixCaller(socket) }),
    handle,
  });
  const tcp = createDoor({
    ...options,
    name: 'TCP',
    callerOf: ({ remoteAddress }) => ({ via: 'tcp', address: remoteAddress ?? 'unknown' }),
    handle,
  });
  return {
    unix: unix.server,
    tcp: tcp.server,
    load: async () => {
      await appNow();
    },
    tokenChanged: async () => (await loaded())?.endTcpEvents(),
    close: async () => {
      (await loaded())?.endEvents();
      await Promise.all([unix.close(), tcp.close()]);
      // A last request may have loaded the application in the meantime.
      await (await loaded())?.close();
    },
  };
}

async function loadApp(
  options: AdminOptions & Pick<AppOptions, 'admit'>,
  callerOf: AppOptions['callerOf'],
): Promise<App> {
  const [{ createApp }, { createEventReaders }] = await Promise.all([import('./app.ts'), import('./events.ts')]);
  const eventReaders = createEventReaders(options);
  const app = createApp({ ...options, eventReaders, callerOf });
  await app.ready();
  return {
    handle: (request, response) => app.routing(request, response),
    close: () => app.close(),
    endEvents: () => eventReaders.close(),
    endTcpEvents: () => eventReaders.end((request) => callerOf(request)?.via === 'tcp'),
  };
}
