/** The admin API: one application behind two doors, the Unix socket and, when asked for, TCP. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { SidekeyError } from '../base/errors.ts';
import type { AdminCaller } from './access.ts';
import type { AppOptions } from './app.ts';
import { createDoor } from './door.ts';
import type { EventSources } from './events.ts';
import { endWithProblem } from './problem.ts';

export interface AdminOptions
  extends Omit<AppOptions, 'callerOf' | 'eventReaders' | 'admit'>,
    Pick<EventSources, 'onIssued'> {
  readonly ledger: AppOptions['ledger'] & EventSources['ledger'];
  /** The kernel's word on who opened a connection to the Unix socket; asked once a connection. */
  readonly unixCaller: (socket: Socket) => Omit<Extract<AdminCaller, { via: 'unix' }>, 'via'>;
  /** Connections at a time, on each door. */
  readonly maxConnections: number;
}

export interface Admin {
  /** To listen on the Unix socket: its owner and root get in. */
  readonly unix: Server;
  /** To listen on TCP: a known Host and the token are needed. */
  readonly tcp: Server;
  /** Loads the application, which else the first request waits for. Calls after the first one wait for the same. */
  load(): Promise<void>;
  /** Stops listening, lets running requests end for a second, then cuts what is left. */
  close(): Promise<void>;
}

interface App {
  handle(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
  /** Nobody who reads events keeps the doors from closing. */
  endEvents(): void;
}

/** Makes the doors; they listen where the caller says. Behind them, Fastify and all routes take a tenth of a second of a start. */
export function createAdmin(options: AdminOptions): Admin {
  const callers = new WeakMap<IncomingMessage, AdminCaller>();
  let app: Promise<App> | undefined;
  const appNow = () => {
    const admit = ({ socket }: IncomingMessage) => {
      unix.admit(socket);
      tcp.admit(socket);
    };
    app ??= loadApp({ ...options, admit }, (request) => callers.get(request)).catch((thrown: unknown) => {
      // What stood in the way may be gone by the next request.
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
  const tcp = createDoor({ ...options, name: 'TCP', callerOf: () => ({ via: 'tcp' }), handle });
  return {
    unix: unix.server,
    tcp: tcp.server,
    load: async () => {
      await appNow();
    },
    close: async () => {
      (await loaded())?.endEvents();
      await Promise.all([unix.close(), tcp.close()]);
      // A last request may have loaded it meanwhile.
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
  };
}
