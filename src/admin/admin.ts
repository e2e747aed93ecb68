/** The admin API: one application behind two listeners ("doors"), the Unix socket and optionally TCP. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { SidekeyError } from '../base/index.ts';
import type { ServerTls } from '../https/index.ts';
import { FILE_TOKEN_NAME } from '../registry/index.ts';
import type { AdminCaller, Requester } from './access.ts';
import type { AppOptions } from './app.ts';
import { createDoor } from './door.ts';
import type { Tell } from './event-readers.ts';
import type { EventSources } from './events.ts';
import type { LiveSources } from './page/live-view.ts';
import { endWithProblem } from './problem.ts';

export interface AdminOptions
  extends Omit<
      AppOptions,
      'callerOf' | 'eventReaders' | 'pageReaders' | 'live' | 'admit' | 'sessions' | 'tcpListener' | 'pageFiles'
    >,
    Pick<EventSources, 'onIssued'> {
  readonly ledger: AppOptions['ledger'] & LiveSources['ledger'];
  /** The process that opened a connection to the Unix socket, as the kernel reports it; called once per connection. */
  readonly unixCaller: (socket: Socket) => Omit<Extract<AdminCaller, { via: 'unix' }>, 'via'>;
  /** TLS for TCP; undefined: clear text. */
  readonly tls?: ServerTls | undefined;
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
  /**
   * Ends event streams and sessions of the page of the token of the file, which is no longer valid. Other requests present
   * their token each time.
   */
  tokenChanged(): Promise<void>;
  /** Stops listening, gives running requests a second to end, then closes the remaining connections. */
  close(): Promise<void>;
}

interface App {
  handle(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
  /** Ends readers of events, which would keep the doors open. */
  endEvents(): void;
  /** Ends the event streams, links and sessions of a token. */
  endOfToken(token: string): void;
}

/** Tabs of the page that are open at a time, in all sessions. */
const MAX_PAGE_READERS = 32;

/**
 * Makes the doors; the caller makes them listen. Fastify and the routes are loaded later, because loading them slows a
 * start.
 */
export function createAdmin(options: AdminOptions): Admin {
  const callers = new WeakMap<IncomingMessage, AdminCaller>();
  const requesters = new WeakMap<IncomingMessage, Requester>();
  let app: Promise<App> | undefined;
  const appNow = () => {
    const admit = (request: IncomingMessage, requester: Requester) => {
      requesters.set(request, requester);
      unix.admit(request.socket);
      tcp.admit(request.socket);
    };
    const who = {
      callerOf: (request: IncomingMessage) => callers.get(request),
      requesterOf: (request: IncomingMessage) => requesters.get(request),
    };
    app ??= loadApp({ ...options, admit, tcpListener }, who).catch((thrown: unknown) => {
      // The cause of the failure may be gone at the next request.
      app = undefined;
      throw thrown;
    });
    return app;
  };
  const tcpListener = () => {
    const listening = tcp.server.address();
    if (listening === null || typeof listening === 'string') return null;
    return { address: listening.address, port: listening.port, tls: options.tls !== undefined };
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
  const { tls, ...ofDoors } = options;
  const unix = createDoor({
    ...ofDoors,
    name: 'its Unix socket',
    callerOf: (socket) => ({ via: 'unix', ...options.unixCaller(socket) }),
    handle,
  });
  const tcp = createDoor({
    ...ofDoors,
    tls,
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
    tokenChanged: async () => (await loaded())?.endOfToken(FILE_TOKEN_NAME),
    close: async () => {
      (await loaded())?.endEvents();
      await Promise.all([unix.close(), tcp.close()]);
      // A last request may have loaded the application in the meantime.
      await (await loaded())?.close();
    },
  };
}

async function loadApp(
  options: AdminOptions & Pick<AppOptions, 'admit' | 'tcpListener'>,
  who: {
    readonly callerOf: AppOptions['callerOf'];
    readonly requesterOf: (request: IncomingMessage) => Requester | undefined;
  },
): Promise<App> {
  const [{ createApp }, { createEventReaders }, { EventReaders }, { PageSessions }, { readPageFiles }, { LiveView }] =
    await Promise.all([
      import('./app.ts'),
      import('./events.ts'),
      import('./event-readers.ts'),
      import('./page/sessions.ts'),
      import('./page/files.ts'),
      import('./page/live-view.ts'),
    ]);
  const eventReaders = createEventReaders(options);
  const live = new LiveView(options);
  const follow = (tell: Tell) => live.watch((json, id) => tell('changes', json, id));
  const pageReaders = new EventReaders(options.clock, options.counters, follow, MAX_PAGE_READERS);
  const endReaders = (matches: (requester: Requester | undefined) => boolean) => {
    for (const readers of [eventReaders, pageReaders]) readers.end((request) => matches(who.requesterOf(request)));
  };
  const sessions = new PageSessions(options.clock, ({ id }) =>
    endReaders((requester) => requester?.kind === 'session' && requester.id === id),
  );
  const pageFiles = await readPageFiles();
  const app = createApp({ ...options, eventReaders, pageReaders, live, sessions, pageFiles, callerOf: who.callerOf });
  await app.ready();
  const endOfToken = (token: string) => {
    sessions.endOfToken(token);
    endReaders((requester) => requester?.kind === 'token' && requester.name === token);
  };
  // A token that is made has no streams and sessions yet.
  const stop = options.registry.tokens.onChange(endOfToken);
  return {
    handle: (request, response) => app.routing(request, response),
    close: () => {
      stop();
      sessions.close();
      return app.close();
    },
    endEvents: () => {
      eventReaders.close();
      pageReaders.close();
      live.close();
    },
    endOfToken,
  };
}
